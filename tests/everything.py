"""All that MLflow's API tells of what a tracking server keeps, and data that are worth a comparison."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, FileInfo, InputTag, Metric, Param, RunTag, ViewType


def everything(uri: str) -> dict[str, Any]:
    """Return all that the server at ``uri`` lists, as texts; each artifact by its hash."""
    client = MlflowClient(uri)
    experiments = _pages(lambda token: client.search_experiments(ViewType.ALL, page_token=token))
    ids = [found.experiment_id for found in experiments]
    runs = _pages(lambda token: client.search_runs(ids, run_view_type=ViewType.ALL, page_token=token))
    models = _pages(lambda token: client.search_logged_models(ids, page_token=token))
    registered = _pages(lambda token: client.search_registered_models(page_token=token))
    versions = _pages(lambda token: client.search_model_versions(page_token=token))
    return {
        "experiments": {found.experiment_id: _plain(found) for found in experiments},
        "runs": {
            run.info.run_id: {
                **_plain(run),
                "history": {
                    name: sorted(map(_plain_text, client.get_metric_history(run.info.run_id, name)))
                    for name in run.data.metrics
                },
                "artifacts": _artifacts(
                    partial(client.list_artifacts, run.info.run_id), run.info.artifact_uri, uri
                ),
            }
            for run in runs
        },
        "logged models": {
            model.model_id: {
                **_plain(model),
                "artifacts": _artifacts(
                    partial(client.list_logged_model_artifacts, model.model_id), model.artifact_location, uri
                ),
            }
            for model in models
        },
        "registered models": {model.name: _plain(model) for model in registered},
        "versions": {f"{version.name}/{version.version}": _plain(version) for version in versions},
    }


def add_odd_data(uri: str) -> None:
    """Log what is rare: NaN and infinity, a history, texts in many scripts, inputs, deleted runs."""
    client = MlflowClient(uri)
    experiment = client.create_experiment("odd: ünïcödé 数据 🌸", tags={"team": "ö"})
    for number in range(3):
        run = client.create_run(experiment, tags={"mlflow.note.content": "line 1\nline 2\t'quoted' \\ ü"})
        values = [float("nan"), float("inf"), float("-inf"), 1e-310, -0.0, 1 / 3, 1.7976931348623157e308]
        metrics = [Metric(f"m{place}", value, 1, place) for place, value in enumerate(values)]
        metrics += [Metric("history", step / 7, 1000 + step, step) for step in range(200)]
        client.log_batch(
            run.info.run_id,
            metrics,
            [Param("empty", ""), Param("long", "x" * 6000), Param("ü/ö", "🌸")],
            [RunTag("k" * 250, "v" * 5000)],
        )
        dataset = Dataset("rows", "abc123", "code", '{"uri": "s3://x"}', '{"columns": []}', '{"rows": 3}')
        client.log_inputs(run.info.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "test")])])
        client.log_text(run.info.run_id, "é" * 1000, "deep/er/file ü.txt")
        client.log_text(run.info.run_id, "", "empty.txt")
        client.set_terminated(run.info.run_id, "FAILED" if number else "FINISHED")
    client.delete_run(run.info.run_id)
    deleted = client.create_experiment("deleted")
    client.delete_experiment(deleted)
    client.create_registered_model("other", {"a": "b"}, "described")
    client.create_model_version("other", f"runs:/{run.info.run_id}/deep", run.info.run_id, tags={"x": "y"})
    client.set_registered_model_alias("other", "blue", "1")


def differences(found: Any, expected: Any, place: str = "") -> list[str]:  # noqa: ANN401
    """Name what differs in two such results, and how."""
    if not (isinstance(found, dict) and isinstance(expected, dict)):
        return [] if found == expected else [f"{place}: found {found!r}, expected {expected!r}"]
    names = sorted({*found, *expected})
    return [
        told for name in names for told in differences(found.get(name), expected.get(name), f"{place}/{name}")
    ]


def _pages(page: Callable[[str | None], Any]) -> list[Any]:
    found, token = [], None
    while True:
        answer = page(token)
        found += list(answer)
        if not (token := answer.token):
            return found


def _plain(entity: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what an entity of MLflow's has, as texts."""
    return {name: _plain_text(value) for name, value in dict(entity).items()}


def _plain_text(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, dict):
        return str({key: _plain_text(value[key]) for key in sorted(value)})
    if isinstance(value, list):
        return str([_plain_text(each) for each in value])
    if hasattr(value, "__iter__") and not isinstance(value, str):
        return str(_plain(value))
    if hasattr(value, "to_proto"):
        return str(value.to_proto())
    return repr(value)


def _artifacts(listed: Callable[[str | None], list[FileInfo]], uri: str, server: str) -> dict[str, str]:
    """Return the hash of each file below the root of a run's or a model's artifacts."""

    def names(path: str | None) -> Iterator[str]:
        for found in listed(path):
            if found.is_dir:
                yield from names(found.path)
            else:
                yield found.path

    hashes = {}
    with tempfile.TemporaryDirectory() as directory:
        for name in names(None):
            file = mlflow.artifacts.download_artifacts(
                f"{uri}/{name}", dst_path=directory, tracking_uri=server
            )
            hashes[name] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return hashes
