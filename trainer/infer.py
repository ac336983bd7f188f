"""Load the model of a run from an MLflow tracking server into this process, and make predictions with it.

python infer.py --runid RUN_ID        with MLFLOW_TRACKING_URI naming the server

The rows are those of example.json in the current directory.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

EXAMPLE = Path("example.json")


def main() -> int:
    """Print a prediction for each row; return the exit status."""
    parser = argparse.ArgumentParser(description="Use the model of a run.")
    parser.add_argument("--runid", required=True, help="the run id that train.py printed")
    run_id = parser.parse_args().runid
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        rows = json.loads(EXAMPLE.read_text())["dataframe_split"]
    except (OSError, ValueError, KeyError) as error:
        print(
            f"infer.py: can't use {EXAMPLE.absolute()}, a request with a dataframe_split"
            f" ({type(error).__name__}); change to the model's directory, or write one there",
            file=sys.stderr,
        )
        return 1
    try:
        model = mlflow.pyfunc.load_model(f"runs:/{run_id}/artifacts")
        predictions = model.predict(pd.DataFrame(**rows))
    except MlflowException as error:
        print(
            f"infer.py: can't use the model of run {run_id} from {mlflow.get_tracking_uri()}: {error};"
            " check that the server is up and that the run id is one that train.py printed",
            file=sys.stderr,
        )
        return 1
    print(f"Predictions: {predictions}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
