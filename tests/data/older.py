"""Prints, as SQL, a small database of the MLflow that this runs with; README.md says how it was run."""

import math
import os
import sqlite3
import tempfile
from contextlib import closing

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Metric, Param, RunTag

ODD = (math.nan, math.inf, -math.inf, -0.0, 5e-324)


def log_runs(client: MlflowClient) -> list[str]:
    client.create_experiment("gone", artifact_location="mlflow-artifacts:/1")
    work = client.create_experiment("work", artifact_location="mlflow-artifacts:/2", tags={"team": "ü 😀"})
    runs = []
    for number in range(6):
        run = client.create_run(work if number < 4 else "0", run_name=f"run {number}").info.run_id
        losses = [Metric("loss", 1 / (step + 1), 1700000000000 + step, step) for step in range(10)]
        odd = [Metric("odd", value, 1700000000000, step) for step, value in enumerate(ODD)]
        params = [Param("depth", str(number)), Param("text", "long " * 50)]
        client.log_batch(run, losses + odd, params, [RunTag("note", f"née\n\t\\ {number}")])
        client.set_terminated(run, ("FINISHED", "FAILED", "KILLED")[number % 3])
        runs.append(run)
    client.delete_run(runs[3])
    client.delete_experiment("1")
    return runs


def register(client: MlflowClient, runs: list[str]) -> None:
    for name in ("iris", "wine"):
        client.create_registered_model(name, tags={"kind": "test"}, description=f"The model {name}")
        for number, run in enumerate(runs[:3]):
            source = f"mlflow-artifacts:/2/{run}/artifacts/model"
            client.create_model_version(name, source, run, tags={"n": str(number)})
        client.set_registered_model_alias(name, "champion", "2")
        client.set_registered_model_alias(name, "candidate", "3")
    client.delete_model_version("wine", "1")


def log_more(run: str) -> None:
    with mlflow.start_run(run_id=run):
        rows = from_pandas(pd.DataFrame({"a": [1.0, 2.0]}), name="rows")
        mlflow.log_input(rows, context="training")
    with mlflow.start_run():
        model = mlflow.create_external_model(name="external", params={"p": "1"}, tags={"t": "x"})
        mlflow.log_metric("score", 0.5, model_id=model.model_id)
    for number in range(2):
        with mlflow.start_span(f"span {number}") as span:
            span.set_inputs({"question": number})
            span.set_outputs({"answer": [number, "ü"]})


def main() -> None:
    os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        mlflow.set_tracking_uri("sqlite:///mlflow.db")
        client = MlflowClient()
        runs = log_runs(client)
        register(client, runs)
        log_more(runs[0])
        with closing(sqlite3.connect("mlflow.db")) as database:
            print("\n".join(database.iterdump()))
        os.chdir("/")


if __name__ == "__main__":
    main()
