"""The verb gc: shows and removes what nobody needs any more, in the stores and of what was baked.

tracking/garbage.py finds and removes what is in the stores; it also says which versions are registered.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any

from stack.config import Config
from stack.errors import StackError
from stack.modes.at_stores import failure
from stack.modes.choice import choose_mode, choose_mode_of_data
from stack.modes.mode import AtStores, Mode, Program, Unneeded
from stack.modes.report import size_text
from stack.release.commands import open_registry
from stack.release.deploy import unneeded_versions
from stack.tracking import no_answer, remedy

Thing = Mapping[str, Any]
Registered = Mapping[str, Mapping[str, Sequence[str]]]
"""Of each registered model: its versions, and their aliases."""

_BAKED = "baked"
_HEADINGS = {
    "run": "runs, deleted {age}",
    "model": "logged models, deleted {age}",
    "experiment": "experiments, deleted {age}",
    "artifacts": "artifacts whose run, model or trace is not there any more",
    _BAKED: "what was baked, and environments, that nothing needs",
}


def collect(config: Config, named_mode: str | None, days: int, *, remove: bool) -> None:
    """Print what nobody needs; remove it, if ``remove``. What was deleted counts after so many days.

    Raises:
        StackError: if that can't be done.

    """
    with ExitStack() as held:
        at_stores: AtStores | None = None
        if config.elsewhere:
            mode = choose_mode(config, named_mode)
        else:
            mode = choose_mode_of_data(config, named_mode)
            at_stores = held.enter_context(mode.at_stores())
        if remove:
            held.enter_context(mode.exclusive())
        things = list(_found(at_stores("garbage.py", str(days)))) if at_stores else []
        registered = _told(things) if at_stores else _asked(mode)
        baked = _unneeded(mode, registered)
        shown = [it for it in things if it["kind"] in _HEADINGS and "stays" not in it]
        _show([*shown, *map(_thing, baked)], days)
        _show_staying(things)
        if config.elsewhere:
            print(f"what is on the tracking server {config.elsewhere} is removed where that is at home")
        if not shown and not baked:
            print("there is nothing to remove", flush=True)
        elif not remove:
            print("nothing was removed; to remove it, add --remove", flush=True)
        else:
            program = at_stores("garbage.py", str(days), "--remove") if at_stores else None
            _remove(mode, program, shown, baked)


def _remove(mode: Mode, program: Program | None, things: Sequence[Thing], baked: Sequence[Unneeded]) -> None:
    """Remove these, and print how much that was, and what stays; a StackError says the same."""
    removed: list[Thing] = []
    staying: list[Thing] = []
    try:
        # What was baked first: it takes no time, and may be much.
        for each in baked:
            why = mode.remove(each)
            (staying if why else removed).append({**_thing(each), "stays": why} if why else _thing(each))
        for thing in _removed(program, things) if program and things else ():
            (staying if "stays" in thing else removed).append(thing)
    except StackError as error:
        raise StackError(f"{error}; before that, {_in_words(removed)}, was removed") from error
    print(f"removed: {_in_words(removed)}")
    _show_staying(staying)


def _unneeded(mode: Mode, registered: Registered) -> list[Unneeded]:
    """Return what was baked and nothing needs: no alias, nothing that is or was served, nor who goes back."""
    served, versions = mode.served(), {}
    for model in mode.baked_models():
        of, known = mode.of_model(model), registered.get(model, {})
        is_served = served is not None and served.model_name == model
        used = set(filter(None, (of.last_served(), served.version if served and is_served else None)))
        named = (version for version, aliases in known.items() if aliases)
        gone = [version for version in of.baked_versions() if version not in {*known, *used}]
        versions[model] = sorted({*unneeded_versions(of, {*named, *used, *gone}), *gone}, key=int)
    return mode.unneeded(versions)


def _asked(mode: Mode) -> Registered:
    """Ask a tracking server elsewhere for the versions of the models that are baked."""
    config, found = mode.config, {}
    if reason := no_answer(config):  # MLflow's client would try for minutes
        raise StackError(
            f"the tracking server does not answer: {reason}; {remedy(config)}, then run this again"
        )
    for model in mode.baked_models():
        with open_registry(mode.of_model(model).config) as registry:
            found[model] = registry.registered()
    return found


def _told(things: Sequence[Thing]) -> Registered:
    """Return what the stores told of registered versions."""
    found: dict[str, dict[str, list[str]]] = {}
    for thing in things:
        if thing["kind"] == "version":
            found.setdefault(thing["name"], {})[thing["id"]] = thing["aliases"]
    return found


@contextmanager
def _running(program: Program) -> Iterator[tuple[IO[str], Iterator[Thing]]]:
    """Start a program that takes and gives lines of JSON; yield both. It ends with its input.

    Raises:
        StackError: if it fails.

    """
    with (
        tempfile.TemporaryFile("w+", errors="replace") as said,
        subprocess.Popen(
            program.command,
            env=program.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdin  # noqa: S101 - they are pipes
        assert process.stdout  # noqa: S101

        def answers(lines: IO[str]) -> Iterator[Thing]:
            for line in lines:
                thing = json.loads(line)
                if "error" in thing:
                    raise StackError(thing["error"])
                yield thing
            if process.wait() != 0:
                said.seek(0)
                raise failure(said.read())

        try:
            yield process.stdin, answers(process.stdout)
        finally:
            with suppress(BrokenPipeError):  # what it did not read any more is not told of
                process.stdin.close()


def _found(program: Program) -> Iterator[Thing]:
    with _running(program) as (given, answers):
        given.close()
        yield from answers


def _removed(program: Program, things: Sequence[Thing]) -> Iterator[Thing]:
    """Name one thing after the other, so that no more are removed when this is killed; yield the answers."""
    with _running(program) as (given, answers):
        for thing in things:
            with suppress(BrokenPipeError):  # it has ended; its answer says why
                print(json.dumps(thing), file=given, flush=True)
            answer = next(answers, None)
            if answer is None:
                raise StackError("the program at the stores has ended")
            yield answer


def _show(things: Sequence[Thing], days: int) -> None:
    """Print what can be removed, by kinds."""
    for kind, heading in _HEADINGS.items():
        if of_kind := [thing for thing in things if thing["kind"] == kind]:
            age = f"{days:,} days ago or more" if days else "at any time"
            print(f"{heading.format(age=age)}: {len(of_kind):,} ({size_text(_bytes(of_kind))})")
            for thing in of_kind:
                size = size_text(thing["bytes"]) if thing["bytes"] else ""
                print("    " + "  ".join(filter(None, (thing["id"], thing["name"], size))))
    if things:
        print(f"in all: {_in_words(things)}", flush=True)


def _show_staying(things: Sequence[Thing]) -> None:
    for thing in things:
        if "stays" in thing:
            print(f"{thing['kind']} {thing['id']} stays: {thing['stays']}", flush=True)


def _thing(unneeded: Unneeded) -> Thing:
    return {"kind": _BAKED, "id": unneeded.name, "name": "", "bytes": unneeded.size}


def _bytes(things: Sequence[Thing]) -> int:
    return sum(thing["bytes"] for thing in things)


def _in_words(things: Sequence[Thing]) -> str:
    return f"{len(things):,} {'thing' if len(things) == 1 else 'things'}, {size_text(_bytes(things))}"
