from pathlib import Path

from mlflow import MlflowClient

from tests.bench.stores_load import multiply
from tests.bench.stores_report import POSTGRES, ROWS, SQLITE, report


def test_postgresql_is_compared_with_sqlite_run_by_run() -> None:
    slow = {(SQLITE, "search"): 10.0, (POSTGRES, "search"): 30.0}
    quick = {(SQLITE, "search"): 2.0, (POSTGRES, "search"): 10.0}
    shown = "\n".join(report([slow, quick]))
    assert f"| {ROWS['search']} | 6.00 (2.00 to 10.0) | 20.0 (10.0 to 30.0) | 4.00 (3.00 to 5.00) |" in shown


def test_what_one_store_alone_has_is_compared_with_nothing() -> None:
    shown = "\n".join(report([{(POSTGRES, "database, at rest"): 52.0}]))
    assert "| ... of PostgreSQL |  | 52.0 |  |" in shown


def test_copies_of_runs_are_found_by_a_search_as_the_runs_are(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(uri)
    for value in (1, 2):
        run = client.create_run("0").info.run_id
        client.log_metric(run, "loss", value)
    assert multiply(uri, 3) == 6
    found = client.search_runs(["0"], "metrics.loss > 1", order_by=["metrics.loss DESC"])
    assert [run.data.metrics for run in found] == [{"loss": 2.0}] * 3
