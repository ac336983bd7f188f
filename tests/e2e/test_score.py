"""./scripts/score on real stacks, in both modes: what it writes, and what it leaves when it is killed."""

import gzip
import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from stack.modes.processes import processes_with
from stack.release.replay import equal
from stack.wait import wait_until
from tests.e2e.stacks import Stack, docker, one_model
from tests.unit.tracking_servers import as_client

LIMIT = 120


def replayed(stack: Stack) -> tuple[pd.DataFrame, list[Any]]:
    """Return the held-out rows of the champion's training, and what the model answered."""
    run_id = stack.version(stack.aliases()["champion"]).run_id
    with as_client(stack.tracking_url):
        record = mlflow.artifacts.load_dict(f"runs:/{run_id}/replay.json")
    frames, answers = [], []
    for exchange in record["exchanges"]:
        frames.append(pd.DataFrame(**exchange["request"]["dataframe_split"]))
        answers += exchange["answers"]
    return pd.concat(frames, ignore_index=True), answers


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_the_rows_of_the_replay_get_its_answers(stack: Stack, tmp_path: Path, kind: str) -> None:
    rows, answers = replayed(stack)
    notes = [None if number % 2 else f"note {number}" for number in range(len(rows))]
    rows["note, or not"] = notes
    (tmp_path / "in").mkdir()
    for number, some in enumerate((rows[: len(rows) // 2], rows[len(rows) // 2 :])):
        if kind == "parquet":
            some.to_parquet(tmp_path / "in" / f"{number}.parquet")
        else:
            some.to_csv(tmp_path / "in" / f"{number}.csv", index=False)
    output = tmp_path / "out"
    told = stack.script("score", f"--{stack.mode}", str(tmp_path / "in"), str(output)).stdout
    champion = stack.aliases()["champion"]
    assert told.startswith(f"{len(rows)} rows scored with version {champion} of {stack.model.name} in ")
    found = parquet.read_table(output)
    # The last bit of what a linear model answers depends on the rows beside it: the replay compares so.
    assert all(map(equal, found["prediction"].to_pylist(), answers))
    assert found["note, or not"].to_pylist() == notes
    assert set(found["model_version"].to_pylist()) == {champion}
    manifest = json.loads((output / "_manifest.json").read_text())
    assert (manifest["rows"], manifest["input_files"]) == (len(rows), 2)
    assert manifest["replay"].startswith("passed")
    assert manifest["run_id"] == stack.version(champion).run_id


@pytest.mark.thorough
def test_the_answers_to_millions_of_rows_are_those_of_predict_bit_for_bit(
    stack: Stack, tmp_path: Path
) -> None:
    """Bit for bit; the model gets nulls, where it takes them; times and a column with nulls pass through."""
    count = 3_000_000 if stack.model.name == "iris" else 300_000
    some, _ = replayed(stack)
    places = np.random.default_rng(0).integers(0, len(some), count)
    rows = some.iloc[places].reset_index(drop=True)
    floats = rows.select_dtypes("float64").columns
    rows[floats] += np.random.default_rng(1).normal(scale=0.01, size=(count, len(floats)))
    if "sex" in rows:
        rows.loc[::7, "sex"] = None
    rows["when"] = pd.date_range("2024-01-31", periods=count, freq="s")
    rows["sometimes"] = pd.Series(["a", None] * (count // 2))
    rows.to_parquet(tmp_path / "in.parquet")
    stack.script(
        "score", f"--{stack.mode}", str(tmp_path / "in.parquet"), str(tmp_path / "out"), "--workers=2"
    )
    with as_client(stack.tracking_url):
        model = mlflow.pyfunc.load_model(f"models:/{stack.settings['MODEL_NAME']}@champion")
        wanted = np.asarray(model.predict(rows[some.columns]))
    found = parquet.read_table(tmp_path / "out")
    assert (found["prediction"].to_numpy() == wanted).all()
    given = parquet.read_table(tmp_path / "in.parquet")
    assert all(found[name].equals(given[name]) for name in rows.columns)


@one_model
def test_what_is_wrong_is_one_sentence(stack: Stack, tmp_path: Path) -> None:
    rows, _ = replayed(stack)
    first = str(rows.columns[0])
    rows.drop(columns=first).to_parquet(tmp_path / "in.parquet")
    command = ("score", f"--{stack.mode}", str(tmp_path / "in.parquet"))
    failed = stack.script(*command, str(tmp_path / "out"), check=False)
    told = f"score: {tmp_path}/in.parquet has no column {first!r}, which the model requires; add it\n"
    assert (failed.returncode, failed.stdout, failed.stderr) == (1, "", told)
    assert [each.name for each in tmp_path.iterdir()] == ["in.parquet"]
    failed = stack.script(*command, str(tmp_path / "out"), "--version=999", check=False)
    assert failed.stderr.startswith(f"score: no version 999 of {stack.model.name} is registered")
    assert failed.returncode == 1


def long_job(stack: Stack, file: Path) -> None:
    """Write rows that take a minute to score, and no room: the same ones, as one CSV file."""
    row = ",".join(map(str, stack.model.split["data"][0])) + "\n"
    columns = ",".join(f'"{name}"' for name in stack.model.split["columns"]) + "\n"
    block = gzip.compress(row.encode() * 1_000_000, 1)
    file.write_bytes(gzip.compress(columns.encode()) + block * 100)


def scorers(stack: Stack, output: Path) -> list[Any]:
    """Return the containers or processes that write this output."""
    if stack.mode == "docker":
        return docker("ps", "--all", "--quiet", f"--filter=volume={output.parent}").split()
    return processes_with("STACK_HOME", f"{output.parent}/home")


@one_model
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_one_who_stops_it_finds_no_output_and_nothing_running(
    stack: Stack, tmp_path: Path, number: signal.Signals
) -> None:
    """With a state directory of its own, by which its processes are known."""
    file, output, staging = tmp_path / "in.csv.gz", tmp_path / "out", tmp_path / ".out.scoring"
    long_job(stack, file)
    own = replace(stack, settings={**stack.settings, "STACK_HOME": str(tmp_path / "home")})
    process = own.start("./scripts/score", f"--{stack.mode}", str(file), str(output))
    try:
        wait_until(
            lambda: None if list(staging.glob("*.parquet")) else "no rows yet",
            timeout=LIMIT,
            alive=lambda: process.poll() is None,
        )
        assert scorers(stack, output) != []
        process.send_signal(number)
        told, _ = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    assert process.returncode == (-9 if number == signal.SIGKILL else 130), told
    wait_until(lambda: "it runs" if scorers(stack, output) else None, timeout=LIMIT)
    assert not output.exists()
    if number == signal.SIGINT:
        assert told == "score: interrupted\n"
        assert sorted(each.name for each in tmp_path.iterdir()) == ["home", "in.csv.gz"]
        assert list((tmp_path / "home" / "scoring").iterdir()) == []
