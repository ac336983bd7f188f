"""Load the model of a run from an MLflow tracking server, in this process, and classify three irises.

python infer.py --runid RUN_ID        with MLFLOW_TRACKING_URI naming the server
"""

import argparse
import json
import os
import sys
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

EXAMPLE = Path(__file__).with_name("example.json")


def main() -> int:
    """Print the classes of the rows in example.json; return the exit status."""
    parser = argparse.ArgumentParser(description="Classify three irises by the model of a run.")
    parser.add_argument("--runid", required=True, help="the run id that train.py printed")
    run_id = parser.parse_args().runid
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    rows = json.loads(EXAMPLE.read_text())["dataframe_split"]
    try:
        model = mlflow.pyfunc.load_model(f"runs:/{run_id}/artifacts")
    except MlflowException as error:
        print(
            f"infer.py: can't load the model of run {run_id} from {mlflow.get_tracking_uri()}: {error};"
            " check that the server is up and that the run id is one that train.py printed",
            file=sys.stderr,
        )
        return 1
    print(f"Iris classifications: {model.predict(pd.DataFrame(**rows))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
