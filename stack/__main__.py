"""The one entry point: `python -m stack VERB`, which ./scripts/VERB calls.

The docstring of a verb is its help. A verb imports what it needs when it runs. So `-h` needs no packages, and
only verbs that use MLflow wait for it.
"""

import argparse
import inspect
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

_CANARY_SECONDS = 300
PLATFORMS = ("linux-aarch64", "linux-x86_64", "macos-arm64")

Run = Callable[[argparse.Namespace], int | None]


def _up(arguments: argparse.Namespace) -> None:
    """Bring the stack up: the tracking server, a training, and its model served.

    On a stack that runs: train and deploy what has changed. A healthy server is not restarted.
    """
    from stack.config import load_config
    from stack.modes import compose, supervisor
    from stack.modes.choice import choose_new_mode

    config = load_config()
    up = {"docker": compose.up, "native": supervisor.up}[choose_new_mode(arguments.mode)]
    up(config, detach=arguments.detach)


def _down(arguments: argparse.Namespace) -> None:
    """Stop everything that ./scripts/up started, in either mode."""
    from stack.config import load_config
    from stack.errors import StackError
    from stack.modes import compose, supervisor
    from stack.modes.choice import check_own_data
    from stack.modes.engine_error import EngineError
    from stack.modes.owner import OwnerError

    config = load_config(asks_tracking=False)
    if arguments.volumes:
        check_own_data(config)
    failed = []
    was_native = False
    try:
        was_native = supervisor.down(config, volumes=arguments.volumes)
    except StackError as error:
        failed.append(str(error))
    try:
        compose.down(config, volumes=arguments.volumes)
    except (EngineError, OwnerError) as error:
        # Whoever has stopped a stack without Docker need not have one in Docker, too.
        if not was_native:
            failed.append(str(error))
    except StackError as error:
        failed.append(str(error))
    if failed:
        raise StackError("\n".join(failed))
    if arguments.volumes and config.elsewhere:
        print(f"==> what is on the tracking server {config.elsewhere} stays")
    if arguments.volumes and config.stores.kept:
        print(f"==> what is in the {config.stores.kept} elsewhere stays")


def _train(arguments: argparse.Namespace) -> None:
    """Train the model, and register it as a version.

    A version that passes the gate becomes the candidate, which ./scripts/deploy serves; a train.py that is a
    plain script has no gate. If nothing has changed since the last version, it trains nothing. Set
    MLFLOW_TRACKING_URI to use another tracking server.
    Exit status: 0 accepted, 1 failed, 2 wrong usage, 3 refused by the gate.
    """
    from stack.run import train

    train(*(["--force"] if arguments.force else []))


def _deploy(arguments: argparse.Namespace) -> None:
    """Bake the candidate, check its answers, serve it, and make it the champion.

    If there is no candidate, serve the champion, even if somebody set it in the MLflow UI.
    """
    from stack.config import load_config
    from stack.release.commands import release, watch

    if arguments.watch:
        watch(load_config(), arguments.mode)
    else:
        release(load_config(), arguments.mode, lambda *_: None, wait=arguments.wait)


def _promote(arguments: argparse.Namespace) -> None:
    """Make any registered version the champion: bake it, check its answers, serve it.

    A version that was not trained here must give the answers to its input example that the model gives when
    MLflow loads it. A URI is registered first, as a version of MODEL_NAME.
    With --canary, the gateway sends it some of the requests first. If more of them fail than of the
    champion's at the same time, or are slow, it is withdrawn, and its tag `failure` has the numbers.
    """
    if arguments.seconds and not arguments.canary:
        arguments.wrong("--for says how long a canary lasts; add --canary PERCENT")
    from stack.config import load_config
    from stack.release.commands import release

    named, canary = arguments.version, None
    if arguments.canary:
        from stack.release.canary import Canary

        canary = Canary(arguments.canary, arguments.seconds or _CANARY_SECONDS)
    release(
        load_config(),
        arguments.mode,
        lambda registry, _: named if named.isdigit() else registry.register(named),
        unchecked=arguments.unchecked,
        canary=canary,
    )


def _rollback(arguments: argparse.Namespace) -> None:
    """Serve the version that was champion before. Usually, its image is still there, so nothing is baked.

    A second rollback goes forward again.
    """
    from stack.config import load_config
    from stack.release.commands import release
    from stack.release.deploy import rollback_target

    release(load_config(), arguments.mode, rollback_target)


def _status(arguments: argparse.Namespace) -> None:
    """Show what runs, which version is served, and whether the registry agrees.

    Exit status 1 if something is not up, or if what is served differs from the registry.
    """
    from stack.config import load_config
    from stack.release.commands import show_status

    show_status(load_config(), json_wanted=arguments.json)


def _predict(arguments: argparse.Namespace) -> None:
    """Send a request to the model server, and print its answer."""
    from stack.config import load_config
    from stack.release.predict import door_of, predict

    config = load_config(asks_tracking=False)
    file = arguments.file or config.model_dir / "example.json"
    print(predict(config.serving_url, file, config.server_timeout, door_of(config)))


def _score(arguments: argparse.Namespace) -> None:
    """Score the rows of Parquet or CSV files with the champion, into a directory of Parquet files.

    OUTPUT holds all columns of INPUT, and `prediction`, or the columns that the model answers with,
    `model_name` and `model_version`. It appears when all rows are scored.
    """
    if arguments.workers and arguments.master:
        arguments.wrong("--workers is for this machine; of a cluster, set spark.cores.max by --properties")
    if (arguments.python or arguments.properties) and not arguments.master:
        arguments.wrong("--python and --properties are for a cluster of Spark; name it by --master")
    from stack.score import Wish, score

    score(
        Wish(
            input=os.path.abspath(arguments.started_in / arguments.input),  # noqa: PTH100 - it may be a glob
            output=Path(os.path.abspath(arguments.started_in / arguments.output)),  # noqa: PTH100
            version=arguments.version,
            workers=arguments.workers,
            master=arguments.master,
            python=arguments.python,
            properties=arguments.properties and arguments.started_in / arguments.properties,
        ),
        arguments.mode,
    )


def _backup(arguments: argparse.Namespace) -> None:
    """Write all that the tracking server keeps into one archive, also while the stack runs.

    It holds the database, the artifacts, the lock, and what is set and served. It does not depend on where
    the data lie, so ./scripts/restore can also move them: from SQLite to PostgreSQL, or to another machine.
    """
    from stack.backup import backup
    from stack.config import load_config

    backup(
        load_config(asks_tracking=False),
        arguments.mode,
        arguments.file and arguments.started_in / arguments.file,
    )


def _restore(arguments: argparse.Namespace) -> None:
    """Put an archive of ./scripts/backup into the stores of a stack that has no data, up or not.

    The archive is checked first. Runs that were at work are ended as KILLED. The next ./scripts/up or
    ./scripts/deploy bakes the champion and checks its answers. Killed half-way, it can be run again.
    """
    from stack.backup import restore
    from stack.config import load_config

    file = arguments.started_in / arguments.file
    restore(load_config(asks_tracking=False), arguments.mode, file, replace=arguments.replace)


def _gc(arguments: argparse.Namespace) -> None:
    """Show what takes room and nobody needs any more; with --remove, remove it.

    That is what was deleted in the MLflow UI some time ago, artifacts whose run, model or trace is not there
    any more, and baked versions and environments that nothing needs. What a registered version needs stays,
    and so does what an alias names or what is served. The stack may be up or not.
    """
    from stack.config import load_config
    from stack.garbage import collect

    collect(load_config(), arguments.mode, arguments.days, remove=arguments.remove)


def _user(arguments: argparse.Namespace) -> None:
    """Say who may log in at the gateway: add, list or remove users.

    A user who is added gets a secret, which is printed once; one who is there gets another. It counts after
    a second, without a restart. predict may ask for predictions; train may use the tracking server, too, but
    delete nothing there; admin may do all; metrics may read /metrics of the model server, and nothing else.
    """
    from stack.config import load_config
    from stack.users import add, listed, remove

    config = load_config(asks_tracking=False)
    if arguments.action == "add":
        add(config, arguments.name, arguments.role)
    elif arguments.action == "remove":
        remove(config, arguments.name)
    else:
        listed(config)


def _infer(arguments: argparse.Namespace) -> None:
    """Load the model of a run from the tracking server, and print its predictions for example.json."""
    from stack.run import infer

    infer("--runid", arguments.runid)


def _doctor(arguments: argparse.Namespace) -> int:
    """Find what keeps the stack from working on this machine.

    Print one line for each check: it is fine, or what to do. Change nothing.
    Exit status: 0 nothing to fix, 1 something to fix, 2 wrong usage.
    """
    from stack.doctor.checks import examine

    return examine(arguments.mode, os.environ)


def _vendor(arguments: argparse.Namespace) -> None:
    """Collect into vendor/ all that builds, bakes and installs need to work without a network.

    That is the Python packages of lock/ and, if a Docker engine answers, also the Debian packages and the
    base image. Run it again when lock/ or the Dockerfile has changed.
    """
    from stack.vendor import collect

    collect(arguments.platform)


def _percent(text: str) -> int:
    if not re.fullmatch("[1-4]?[1-9]|[1-5]0", text):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 50, found {text!r}")
    return int(text)


def _seconds(text: str) -> int:
    found = re.fullmatch("([1-9][0-9]{0,5})([smh])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected a time such as 30s, 5m or 2h, found {text!r}")
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, found {text!r}")
    return int(text)


def _days(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text):
        raise argparse.ArgumentTypeError(f"expected a whole number of days, found {text!r}")
    return int(text)


def _export(arguments: argparse.Namespace) -> None:
    """Write what a cluster needs to run a checked version's image, as a kustomize base.

    The image stays as it is; docs/kubernetes.md says how a cluster gets it. A version whose image has not
    passed the replay on this machine is refused.
    """
    from stack.config import load_config
    from stack.export.command import export_kubernetes
    from stack.export.values import Wanted

    output = Path(arguments.beside, arguments.output)
    wanted = Wanted(service_monitor=arguments.service_monitor, kserve=arguments.kserve)
    export_kubernetes(load_config(), arguments.version, output, arguments.image, wanted)


class _Verbs:
    """The command line, as verbs are added to it."""

    def __init__(self) -> None:
        self.top = argparse.ArgumentParser(
            prog="python -m stack", description="A local MLOps stack on MLflow."
        )
        self._verbs = self.top.add_subparsers(dest="verb", metavar="VERB", required=True)

    def add(self, run: Run, *, mode: str = "") -> argparse.ArgumentParser:
        """Add a verb; ``mode`` says which mode it uses without --docker and --native."""
        name, text = run.__name__.removeprefix("_"), inspect.getdoc(run) or ""
        verb = self._verbs.add_parser(
            name,
            prog=f"./scripts/{name}",
            help=text.splitlines()[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.set_defaults(run=run)
        if mode:
            group = verb.add_argument_group("mode", mode).add_mutually_exclusive_group()
            for each, how in (("docker", "with Docker Compose"), ("native", "as local processes")):
                group.add_argument(f"--{each}", dest="mode", action="store_const", const=each, help=how)
        return verb


def parser() -> argparse.ArgumentParser:
    """Describe all verbs and their arguments."""
    from stack.gateway import ROLES

    verbs = _Verbs()
    running = "Without one of these: the mode of the stack that runs here."

    up = verbs.add(_up, mode="Without one of these: Docker if an engine runs, else local processes.")
    up.add_argument("--detach", action="store_true", help="return as soon as predictions are served")
    down = verbs.add(_down)
    down.add_argument("--volumes", action="store_true", help="also delete the data: runs, models, logs")
    train = verbs.add(_train)
    train.add_argument("--force", action="store_true", help="train although nothing has changed")
    deploy = verbs.add(_deploy, mode=running)
    wait = "wait for the tracking server, and for the end of a training that `up` has started"
    when = deploy.add_mutually_exclusive_group()
    when.add_argument("--wait", action="store_true", help=wait)
    watch = (
        "until Ctrl-C, deploy each version that somebody makes candidate or champion, in the UI for example"
    )
    when.add_argument("--watch", action="store_true", help=watch)
    promote = verbs.add(_promote, mode=running)
    which = (
        "its number, as the MLflow UI shows it; or runs:/RUN_ID/NAME, models:/NAME/VERSION, models:/MODEL_ID"
    )
    promote.add_argument("version", metavar="VERSION", help=which)
    unchecked = "compare its answers with nothing; see only that it loads, and refuses wrong requests"
    promote.add_argument("--unchecked", action="store_true", help=unchecked)
    promote.set_defaults(wrong=promote.error)
    share = "behind the gateway with Docker: let it answer so many of 100 requests first"
    promote.add_argument("--canary", metavar="PERCENT", type=_percent, help=share)
    how_long = "how long the canary lasts, such as 30s, 5m or 2h; default: 5m"
    promote.add_argument("--for", dest="seconds", metavar="TIME", type=_seconds, help=how_long)
    verbs.add(_rollback, mode=running)
    status = verbs.add(_status)
    status.add_argument("--json", action="store_true", help="print JSON")
    predict = verbs.add(_predict)
    file = "a request as JSON, or rows as CSV (a name that ends in .csv); default: the model's example"
    predict.add_argument("file", metavar="FILE", type=Path, nargs="?", help=file)
    user = verbs.add(_user).add_subparsers(dest="action", metavar="ACTION", required=True)
    added = user.add_parser("add", help="let a user in, and print the secret")
    added.add_argument("name", metavar="NAME")
    role = "what the user may do; default: predict"
    added.add_argument("--role", choices=ROLES, default="predict", help=role)
    user.add_parser("list", help="show the users and their roles")
    user.add_parser("remove", help="let a user in no more").add_argument("name", metavar="NAME")
    data = "Without one of these: that of the stack that runs here, or else that in which there are data."
    backed_up = verbs.add(_backup, mode=data)
    target = "the archive, a tar file; default: a new one in backups/"
    backed_up.add_argument("file", metavar="FILE", nargs="?", help=target)
    restored = verbs.add(_restore, mode=data)
    source = "an archive, or a database mlflow.db.old-... that a migration has kept"
    restored.add_argument("file", metavar="FILE", help=source)
    replace = "back up the data that are there, then replace them"
    restored.add_argument("--replace", action="store_true", help=replace)
    for verb in (backed_up, restored):
        verb.add_argument("--started-in", metavar="DIR", type=Path, default=Path(), help=argparse.SUPPRESS)
    gc = verbs.add(_gc, mode=data)
    age = "leave what was deleted less than so many days ago; default: 30"
    gc.add_argument("--older-than", dest="days", metavar="DAYS", type=_days, default=30, help=age)
    gc.add_argument("--remove", action="store_true", help="remove what is shown")
    infer = verbs.add(_infer)
    infer.add_argument("--runid", metavar="RUN_ID", required=True, help="what ./scripts/train printed")
    score = verbs.add(_score, mode=running)
    score.set_defaults(wrong=score.error)
    files = "a file, a directory, or a glob in quotes, of Parquet or CSV files"
    score.add_argument("input", metavar="INPUT", help=files)
    score.add_argument("output", metavar="OUTPUT", help="a directory, which must not exist yet")
    score.add_argument("--version", metavar="N", help="score with this version; default: the champion")
    score.add_argument(
        "--workers", metavar="N", type=_count, help="so many processes; default: one for each CPU"
    )
    spark = score.add_argument_group(
        "Spark", "Let a cluster score; all its machines must see INPUT and OUTPUT."
    )
    where = "its address: spark://HOST:PORT, local[N], yarn or k8s://HOST:PORT"
    spark.add_argument("--master", metavar="URL", help=where)
    python = "a Python of the executors that has all packages; default: these are sent along"
    spark.add_argument("--python", metavar="PATH", help=python)
    settings = "Spark's settings, in spark-submit's format; secrets belong there"
    spark.add_argument("--properties", metavar="FILE", type=Path, help=settings)
    score.add_argument("--started-in", metavar="DIR", type=Path, default=Path(), help=argparse.SUPPRESS)
    verbs.add(_doctor, mode="Default: both modes; a missing Docker is no error.")
    vendor = verbs.add(_vendor)
    whose = (
        "collect the Python packages of this platform; may be repeated; default: this machine and the images"
    )
    vendor.add_argument("--platform", action="append", default=[], choices=PLATFORMS, help=whose)
    export = verbs.add(_export)
    export.add_argument("kind", choices=["kubernetes"], help="what the cluster runs")
    number = "its number, as the MLflow UI shows it; default: the champion's"
    export.add_argument("version", metavar="VERSION", nargs="?", help=number)
    new = "a directory: new, empty, or of an export, which is replaced; default: ./kubernetes"
    export.add_argument("--output", metavar="DIR", default="kubernetes", help=new)
    reference = "the image's name in your registry, such as registry.example.com/team/iris"
    export.add_argument("--image", metavar="REF", help=reference)
    more = export.add_mutually_exclusive_group()
    more.add_argument("--service-monitor", action="store_true", help="also let a Prometheus Operator ask it")
    kserve = "let KServe run it: an InferenceService, in place of what KServe makes of that by itself"
    more.add_argument("--kserve", action="store_true", help=kserve)
    export.add_argument("--beside", default="", help=argparse.SUPPRESS)
    return verbs.top


def main() -> int:
    """Run one verb; return its exit status."""
    arguments = parser().parse_args()
    from stack.errors import exit_status

    return exit_status(arguments.verb, lambda: arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
