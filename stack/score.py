"""Score files with a registered version: fetch it once, and let the scorer apply it to all rows."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stack.cluster import Cluster, find_cluster
from stack.config import CHECKOUT, Config, load_config
from stack.errors import StackError
from stack.interruption import interrupted_once
from stack.modes.child import in_a_child
from stack.modes.choice import choose_mode
from stack.modes.environment import Environment, environment_of
from stack.modes.mode import Mode, ScoredPaths, Scorer
from stack.modes.report import ended_text

_LOCK = "lock"
_ENDED_WITHIN = 20  # seconds


@dataclass(frozen=True)
class Wish:
    """What the user wants scored, and where: here, or by a Spark ``master``. Paths are absolute."""

    input: str
    output: Path
    version: str | None = None
    workers: int | None = None
    master: str | None = None
    python: str | None = None
    properties: Path | None = None


@dataclass(frozen=True)
class Fetched:
    """A version whose files are here, and whose environment is made."""

    version: str
    run_id: str
    replay: str
    model: Path
    environment: Environment | None


def score(wish: Wish, named_mode: str | None) -> None:
    """Score INPUT into OUTPUT, and say what was done.

    Raises:
        StackError: if it can't be done; then there is no OUTPUT.
        KeyboardInterrupt: at Ctrl-C; the same.

    """
    config = load_config()
    interrupted_once()
    if os.path.lexists(wish.output):
        raise StackError(f"{wish.output} exists; choose another OUTPUT, or remove it")
    if not wish.output.parent.is_dir():
        raise StackError(f"there is no directory {wish.output.parent}; make it, or choose another OUTPUT")
    if not os.path.lexists(wish.input) and not glob(wish.input):  # noqa: PTH207 - it is absolute
        raise StackError(f"there is no file {wish.input}; name a file, a directory or a glob")
    cluster = find_cluster(wish.master, wish.python, wish.properties) if wish.master else None
    mode = choose_mode(config, named_mode)
    if cluster:
        mode.check_spark(cluster)
    with scratch(config.home / "scoring") as directory:
        # It imports MLflow, whose memory is free then.
        fetched = in_a_child(lambda: _fetch(config, mode, wish.version, directory), "fetching the model")
        what = f"version {fetched.version} of {config.model_name}"
        if not fetched.replay.startswith("passed"):
            print(f"{what} has not passed the replay: its answers are not checked", file=sys.stderr)
        paths = ScoredPaths(wish.input, wish.output)
        scorer = mode.scorer(fetched.model, fetched.environment, paths, cluster)
        manifest = _run(scorer, _request(config, fetched, scorer, wish, cluster))
    print(f"{manifest['rows']:,} rows scored with {what} in {manifest['seconds']:.1f} s: {wish.output}")


def _request(
    config: Config, fetched: Fetched, scorer: Scorer, wish: Wish, cluster: Cluster | None
) -> dict[str, Any]:
    """Return the job as the scorer reads it."""
    return {
        "model": scorer.model,
        "model_config": config.model_environment.get("SERVING_MODEL_CONFIG"),
        "model_name": config.model_name,
        "model_version": fetched.version,
        "run_id": fetched.run_id,
        "replay": fetched.replay,
        "input": wish.input,
        "output": str(wish.output),
        "workers": wish.workers,
        "spark": cluster.request(config) if cluster else None,
    }


def _fetch(config: Config, mode: Mode, version: str | None, directory: Path) -> Fetched:
    """Resolve the version, download its files, and make its environment."""
    from stack.release.commands import open_registry

    with open_registry(config) as registry:
        if version is None:
            version = registry.aliases().get("champion")
            if version is None:
                raise StackError(
                    f"{config.model_name} has no champion; run ./scripts/deploy, or set --version"
                )
        found = registry.version(version)
        model = registry.fetch(version, directory)
        what = f"version {version} of {config.model_name}"
        is_trained_here = registry.replay(version) is not None
        environment = environment_of(model, mode.python, what, holds_data_only=is_trained_here)
        if environment is not None:
            mode.prepare(environment, lambda: None)
        return Fetched(version, found.run_id or "", found.tags.get("replay", ""), model, environment)


@contextmanager
def scratch(home: Path) -> Iterator[Path]:
    """Make a directory, and remove it at the end, with those that killed runs have left."""
    home.mkdir(parents=True, exist_ok=True)
    with home.with_name(f"{home.name}.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)  # so one that has no lock yet is none that is being made
        for left in home.iterdir():
            with suppress(OSError), (left / _LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
        directory = Path(tempfile.mkdtemp(dir=home))
        lock = (directory / _LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    with lock:
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _run(scorer: Scorer, request: dict[str, Any]) -> dict[str, Any]:
    """Run the scorer, and show how far it is; return the manifest. It ends when its standard input does."""
    process = subprocess.Popen(
        scorer.command,
        env=scorer.environment,
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is ours
    )
    assert process.stdin  # noqa: S101 - they are pipes
    assert process.stdout  # noqa: S101
    last: dict[str, Any] = {}
    try:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        # disable=None: on a terminal only
        with tqdm(unit=" rows", unit_scale=True, disable=None, dynamic_ncols=True) as bar:
            for line in process.stdout:
                last = json.loads(line)
                if "rows" in last:
                    bar.reset(total=last["rows"])
                elif "done" in last:
                    bar.update(last["done"])
                elif "note" in last:
                    bar.write(last["note"], file=sys.stderr)
    except BrokenPipeError:
        pass
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_ENDED_WITHIN)
        except subprocess.TimeoutExpired:  # the model does not let Python go
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if scorer.kill:
                subprocess.run(scorer.kill, capture_output=True)
    if "manifest" in last:
        manifest: dict[str, Any] = last["manifest"]
        return manifest
    if "error" in last:
        raise StackError(last["error"])
    raise StackError(f"the scorer {ended_text(process.returncode)}; there is no OUTPUT; run this again")
