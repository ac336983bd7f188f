"""Compare ways to score a table with the champion, all giving the same answers on this machine.

python -m tests.bench.score [--runs N] [--rows N] [--ways NAME,NAME]

Each run measures one way after the other. Of each it scores a small table, too: what that takes is the start.
"""

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa

from stack.config import CHECKOUT
from stack.errors import StackError
from stack.modes.processes import part_environment
from tests.bench import measure, meter, score_table
from tests.bench.meter import Used
from tests.bench.prepare import say
from tests.bench.program import named, parse_runs, status_of, turned
from tests.bench.score_report import Measured, Run, report
from tests.bench.score_services import Place, cluster, spark_here, spark_versions
from tests.bench.score_ways import BODY_ROWS, DOCUMENTED, HTTP, PANDAS, WAYS, Way
from tests.bench.startup import ENVIRONMENTS
from tests.conftest import two_free_ports
from tests.e2e.stacks import Stack, new_stack, running

ROWS, LEAST, SMALL = 5_000_000, 20_000, 1000


@dataclass(frozen=True)
class Scoring:
    """Irises, scored by a stack's champion."""

    stack: Stack
    place: Place
    irises: pa.Table

    def use(self, way: Way, rows: int) -> tuple[Used, pa.Table]:
        """Score the first so many rows; return what that took and what was written, which is removed.

        Raises:
            StackError: if it fails.

        """
        say(f"{way.title}, {rows:,} rows")
        home = self.place.scratch
        source, output = home / f"{rows}.parquet", home / "output"
        if not source.exists():
            score_table.write(self.irises.slice(0, rows), source)
        command, log = way.command(self.place, source, output), home / "command.log"
        settings = {"MLFLOW_DISABLE_TELEMETRY": "true", **way.settings(self.place)}
        environment = part_environment(self.stack.environment, **settings)
        try:
            used = meter.measure(command, environment, log, CHECKOUT, rows, way.service(self.place))
            return used, score_table.scored(output)
        finally:
            remove(output)

    def measure(self, way: Way, rows: int, right: pa.Table) -> Used:
        """Score the first so many rows, and compare what was written with what is ``right``.

        Raises:
            StackError: if it fails, or differs.

        """
        used, written = self.use(way, rows)
        score_table.check(written, right.slice(0, rows), way.title)
        return used

    def one_run(self, ways: list[Way], right: pa.Table) -> Run:
        """Measure everything once."""
        run = Run()
        for way in ways:
            parts = (SMALL, right.num_rows // way.part)
            small, large = (self.measure(way, rows, right) for rows in parts)
            run.found[way] = Measured(small, large).scaled(right.num_rows)
        return run


def remove(output: Path) -> None:
    """Remove a file or a directory, if it is there."""
    if output.is_dir():
        shutil.rmtree(output)
    output.unlink(missing_ok=True)


def chosen(names: str) -> list[Way]:
    """Return the ways of these names, which have commas between them; as argparse's types are written."""
    return named(names, WAYS)


def placed(stack: Stack, spark: Path, home: Path) -> Place:
    """Return where all is: the champion's files, too, which the model server is given."""
    name = stack.settings["MODEL_NAME"]
    model = Path(stack.settings["STACK_HOME"]) / "models" / name / stack.aliases()["champion"]
    return Place(stack.tracking_url, f"models:/{name}@champion", model, spark, home, two_free_ports()[0])


def measured(ways: list[Way], spark: Path, arguments: argparse.Namespace) -> list[Run]:
    """Measure on a stack of its own, without Docker."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        home = Path(directory)
        with running(new_stack("native", home / "state")) as stack:
            (home / "state" / "spark").symlink_to(ENVIRONMENTS / "spark")  # so that it is installed once
            scoring = Scoring(stack, placed(stack, spark, home), score_table.irises(arguments.rows))
            say("each way once, so that all is installed and compiled")
            _, right = scoring.use(PANDAS, arguments.rows)
            for way in ways:
                scoring.measure(way, SMALL, right)
            runs = []
            for number in range(arguments.runs):
                say(f"run {number + 1} of {arguments.runs}")
                runs.append(scoring.one_run(turned(ways, number), right))
    return runs


def compare(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    load, ways, spark, notes = os.getloadavg()[0], arguments.ways, Path(), []
    try:
        spark = spark_here(ENVIRONMENTS)
        notes = [f"- Spark: {spark_versions()}; two workers of one core, as processes"]
    except StackError as error:
        notes = [f"- nothing is measured on Spark: {error}"]
        ways = [way for way in ways if way.service is not cluster]
    runs = measured(ways, spark, arguments)
    print(f"{measure.machine(load)}\n")
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("mlflow", "scikit-learn", "pandas", "pyarrow")
    )
    print(f"- {arguments.rows:,} rows, Parquet to Parquet; {packages}")
    print("\n".join(notes))
    print(f"- start: the whole command, for {SMALL:,} rows")
    if not {HTTP, DOCUMENTED}.isdisjoint(ways):
        rows = arguments.rows // HTTP.part
        print(f"- HTTP: {rows:,} rows, {BODY_ROWS:,} a request; the other rows as these, without start")
    print(f"- medians (min to max) of {len(runs)} runs; the answers of all are equal\n")
    print("\n".join(report(runs)))


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench score", description="Compare ways to score a table.")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"how many rows (default {ROWS:,})")
    parser.add_argument("--ways", type=chosen, default=list(WAYS), help="only some of the ways")
    arguments = parse_runs(parser)
    if arguments.rows < LEAST:
        parser.error(f"expected at least {LEAST:,} rows")
    return status_of(lambda: compare(arguments))


if __name__ == "__main__":
    sys.exit(main())
