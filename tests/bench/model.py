"""Make what all servers of the benchmark serve, without a tracking server: the iris model, and right answers.

python -m tests.bench.model DIRECTORY    with trainer/ on the search path for modules
"""

import json
import sys
from pathlib import Path

import mlflow
import train
from mlflow.artifacts import download_artifacts

LARGEST = 10_000


def store_model(home: Path) -> Path:
    """Train and log the model to a store of its own under ``home``; return the directory of its files."""
    mlflow.set_tracking_uri(f"sqlite:///{home / 'mlflow.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("bench", (home / "artifacts").as_uri()))
    data = train.load_data()
    with mlflow.start_run():
        classifier = train.initialize_and_train(data.train)
        stored = train.store_pyfunc_model(classifier, data.features(data.held_out).head(3))
    return Path(download_artifacts(stored.model_uri, dst_path=str(home / "model")))


def main(home: Path) -> None:
    """Write the model to ``home``/model, and as many rows as the largest request has to ``home``/cases.json.

    The answers to them are MLflow's own, without any server. The rows are those of the data set, mixed.
    """
    model = mlflow.pyfunc.load_model(str(store_model(home)))
    data = train.load_data()
    rows = data.features(data.train).sample(LARGEST, replace=True, random_state=1)
    cases = {
        "columns": list(rows.columns),
        "rows": rows.to_numpy().tolist(),
        "answers": model.predict(rows),
    }
    (home / "cases.json").write_text(json.dumps(cases))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
