"""The tracking server as a process, and real clients of MLflow."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from mlflow import MlflowClient

from tests.unit.tracking_servers import own_config, running

CLIENTS = 64


def test_none_of_64_clients_at_once_is_refused(tmp_path: Path) -> None:
    config = own_config(tmp_path / "home")
    all_are_there = Barrier(CLIENTS)

    def work(client: int) -> list[str]:
        """Do what a training does, at the same time as all others; return what failed."""
        mlflow = MlflowClient(config.own_tracking_url)
        name, failed = f"model-{client}", []
        run_id = "0" * 32  # there is none if it can't be created

        def create_run() -> None:
            nonlocal run_id
            run_id = mlflow.create_run("0").info.run_id

        def log() -> None:
            mlflow.log_metric(run_id, "accuracy", client)
            mlflow.set_terminated(run_id)

        def register() -> None:
            mlflow.create_registered_model(name)
            mlflow.create_model_version(name, f"runs:/{run_id}/model", run_id)
            mlflow.set_registered_model_alias(name, "candidate", "1")

        steps: list[Callable[[], None]] = [create_run, log, register]
        for step in steps:
            all_are_there.wait()
            try:
                step()
            except Exception as error:
                failed.append(f"client {client}, {step.__name__}: {error}")
        return failed

    with running(config), ThreadPoolExecutor(CLIENTS) as pool:
        assert [failed for found in pool.map(work, range(CLIENTS)) for failed in found] == []
        asks = MlflowClient(config.own_tracking_url)
        runs = {run.info.run_id: run.data.metrics for run in asks.search_runs(["0"], max_results=1000)}
        versions = {
            model.name: model.aliases for model in asks.search_registered_models(max_results=CLIENTS * 2)
        }
        assert sorted(metrics["accuracy"] for metrics in runs.values()) == list(range(CLIENTS))
        assert versions == {f"model-{client}": {"candidate": "1"} for client in range(CLIENTS)}
