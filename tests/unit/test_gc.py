"""What ./scripts/gc makes of what the stores tell, and of what was baked."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from stack import garbage
from stack.config import Config, load_config
from stack.errors import StackError
from stack.modes.mode import AtStores, Program, Served
from stack.modes.native import Native
from tests.unit.test_native import bake

RUN = {"kind": "run", "id": "r1", "name": "a run", "files": 1, "bytes": 2_000_000}
KEPT = {"kind": "run", "id": "r2", "name": "", "stays": "version 3 of iris needs it"}


def version(number: str, *aliases: str, model: str = "iris") -> dict[str, object]:
    return {"kind": "version", "id": number, "name": model, "aliases": list(aliases)}


@dataclass(frozen=True)
class Here(Native):
    """A stack without Docker, with programs at its stores that only tell something."""

    told: list[dict[str, object]] = field(default_factory=list)
    reply: str = "print(line, end='', flush=True)"
    is_served: str = ""

    def at_stores(self) -> AbstractContextManager[AtStores]:
        def program(name: str, *arguments: str) -> Program:
            assert name == "garbage.py"
            assert arguments[0] == "30"
            code = f"import json, sys\nfor it in {self.told!r}: print(json.dumps(it))"
            if "--remove" in arguments:
                code = f"import sys\nfor line in sys.stdin: {self.reply}"
            return Program([sys.executable, "-c", code], {})

        return nullcontext(program)

    def served(self) -> Served | None:
        return Served("iris", self.is_served, "", is_healthy=True) if self.is_served else None


Collect = Callable[..., None]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return replace(load_config({}, tmp_path / "no.env"), home=tmp_path)


@pytest.fixture
def here(config: Config) -> Here:
    return Here(config)


@pytest.fixture
def collect(here: Here, monkeypatch: pytest.MonkeyPatch) -> Collect:
    def collect(*told: dict[str, object], remove: bool = False, **more: str) -> None:
        mode = replace(here, told=list(told), **more)  # type: ignore[arg-type]
        monkeypatch.setattr("stack.garbage.choose_mode_of_data", lambda *_: mode)
        monkeypatch.setattr("stack.garbage.choose_mode", lambda *_: mode)
        garbage.collect(here.config, None, 30, remove=remove)

    return collect


def baked(mode: Here) -> list[str]:
    found = (mode.config.home / "models").glob("*/[0-9]*")
    return sorted(f"{it.parent.name}/{it.name}" for it in found if it.is_dir())


def test_what_can_be_removed_is_shown_by_kinds_with_sizes_and_nothing_happens(
    here: Here, collect: Collect, capsys: pytest.CaptureFixture[str]
) -> None:
    bake(here, "9", MLmodel="a" * 1_500_000)
    directory = {"kind": "artifacts", "id": "0/abc", "name": "", "files": 2, "bytes": 3_000_000_000}
    collect(RUN, KEPT, directory)
    assert capsys.readouterr().out == (
        "runs, deleted 30 days ago or more: 1 (2.0 MB)\n"
        "    r1  a run  2.0 MB\n"
        "artifacts whose run, model or trace is not there any more: 1 (3.00 GB)\n"
        "    0/abc  3.00 GB\n"
        "what was baked, and environments, that nothing needs: 1 (1.5 MB)\n"
        f"    {here.model_directory('9')}  1.5 MB\n"
        "in all: 3 things, 3.00 GB\n"
        "run r2 stays: version 3 of iris needs it\n"
        "nothing was removed; to remove it, add --remove\n"
    )
    assert baked(here) == ["iris/9"]


def test_what_was_shown_is_removed(here: Here, collect: Collect, capsys: pytest.CaptureFixture[str]) -> None:
    bake(here, "9", MLmodel="a")
    collect(RUN, KEPT, version("1"), remove=True)
    assert capsys.readouterr().out.endswith(
        "in all: 2 things, 2.0 MB\nrun r2 stays: version 3 of iris needs it\nremoved: 2 things, 2.0 MB\n"
    )
    assert baked(here) == []


def test_where_there_is_nothing_to_remove_that_is_said(
    collect: Collect, capsys: pytest.CaptureFixture[str]
) -> None:
    collect(version("1", "champion"), remove=True)
    assert capsys.readouterr().out == "there is nothing to remove\n"


def test_what_an_alias_names_or_is_or_was_served_stays_and_so_do_the_last_of_the_others(
    here: Here, collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in "123456789":
        bake(here, number, MLmodel="a")
    other = here.of_model("other")
    for number in ("1", "2"):
        bake(other, number, MLmodel="a")
    bake(here.of_model("gone"), "1", MLmodel="a")
    monkeypatch.setattr(Native, "last_served", lambda self: "8" if self.config.model_name == "iris" else None)
    told = [version(number) for number in "123456"]
    told[0]["aliases"] = ["staging"]
    told[1]["aliases"] = ["champion", "previous"]
    # Of version 7 to 9, none is registered any more.
    collect(*told, version("2", "champion", model="other"), remove=True, is_served="7")
    assert baked(here) == ["iris/1", "iris/2", "iris/5", "iris/6", "iris/7", "iris/8", "other/2"]


def test_a_thing_that_becomes_needed_after_it_was_shown_stays_and_is_told(
    collect: Collect, capsys: pytest.CaptureFixture[str]
) -> None:
    late = {**RUN, "stays": "version 4 of iris needs it"}
    collect(RUN, remove=True, reply=f"import json; print(json.dumps({late!r}), flush=True)")
    assert capsys.readouterr().out.endswith(
        "removed: 0 things, 0.0 kB\nrun r1 stays: version 4 of iris needs it\n"
    )


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            "import json; print(json.dumps({'error': 'S3 does not answer; start it'})); sys.exit(1)",
            "S3 does not answer; start it",
        ),
        ("sys.exit('it was killed')", "it was killed"),
        ("sys.exit(\"python: can't open file '/opt/pyfunc-stack/tracking/garbage.py'\")", "older than this"),
    ],
)
def test_a_failure_says_what_was_removed_before(
    here: Here, collect: Collect, reply: str, message: str
) -> None:
    bake(here, "9", MLmodel="a" * 1_000_000)
    with pytest.raises(StackError, match=rf"{message}.*; before that, 1 thing, 1\.0 MB, was removed"):
        collect(RUN, remove=True, reply=reply)
    assert baked(here) == []


def test_of_a_tracking_server_elsewhere_only_what_was_baked_here_is_removed(
    here: Here, collect: Collect, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in ("1", "2"):
        bake(here, number, MLmodel="a")
    monkeypatch.setattr("stack.garbage._asked", lambda _: {"iris": {"2": []}})
    object.__setattr__(here, "config", replace(here.config, elsewhere="https://mlflow.example.com"))
    collect(RUN, remove=True)
    assert baked(here) == ["iris/2"]
    told = capsys.readouterr().out
    assert "r1" not in told
    assert (
        "what is on the tracking server https://mlflow.example.com is removed where that is at home" in told
    )
