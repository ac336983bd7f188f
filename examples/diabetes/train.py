"""A second model: a regression on whole numbers, floats and strings, by a preprocessing pipeline.

The data: Efron, Hastie, Johnstone and Tibshirani, "Least Angle Regression", Annals of Statistics 32 (2004),
442 patients, as scikit-learn has them.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import joblib
import mlflow
import pandas as pd
from features import CATEGORIES, NUMBERS, add_ratio
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, DataType, Schema
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from workflow import Data, Gate, Training, main, requirements

HERE = Path(__file__).parent
PARAMETERS = {"alpha": 1.0}
SPLIT = {"test_size": 0.25, "random_state": 7}
COLUMNS = {"bp": "blood_pressure", "s2": "ldl", "s3": "hdl", "s5": "triglycerides", "s6": "glucose"}


def load_data() -> Data:
    """Split the patients, always in the same way; ``age`` in years and ``sex`` as the study coded it."""
    frame = load_diabetes(as_frame=True, scaled=False).frame.rename(columns=COLUMNS)
    frame["age"] = frame["age"].astype("int64")
    frame["sex"] = frame["sex"].map({1: "group 1", 2: "group 2"})
    train, held_out = train_test_split(frame[[*NUMBERS, *CATEGORIES, "target"]], **SPLIT)
    return Data(train, held_out, target="target")


def initialize_and_train(rows: pd.DataFrame) -> Pipeline:
    """Return a pipeline fitted to ``rows``: the feature columns and ``target``."""
    columns = make_column_transformer(
        (StandardScaler(), [*NUMBERS, "ldl_per_hdl"]), (OneHotEncoder(handle_unknown="ignore"), CATEGORIES)
    )
    pipeline = make_pipeline(FunctionTransformer(add_ratio), columns, Ridge(**PARAMETERS))
    return pipeline.fit(rows.drop(columns="target"), rows["target"])


def store_pyfunc_model(pipeline: Pipeline, example: pd.DataFrame) -> ModelInfo:
    """Log the pipeline to the active run as a custom pyfunc model; ``example`` holds 3 rows of features."""
    types = {"age": DataType.long, "sex": DataType.string}
    signature = ModelSignature(
        inputs=Schema([ColSpec(types.get(name, DataType.double), name) for name in example.columns]),
        outputs=Schema([ColSpec(DataType.double)]),
    )
    with tempfile.TemporaryDirectory() as directory:
        artifact = Path(directory) / "pipeline.joblib"
        joblib.dump(pipeline, artifact)
        model: ModelInfo = mlflow.pyfunc.log_model(
            name="artifacts",
            python_model=str(HERE / "regressor.py"),
            artifacts={"pipeline": str(artifact)},
            code_paths=[str(HERE / "features.py")],
            signature=signature,
            input_example=example,
            pip_requirements=requirements("mlflow", "scikit-learn", "pandas", "joblib"),
        )
    return model


def evaluate(rows: pd.DataFrame, answers: list[Any]) -> dict[str, float]:
    """Measure the progression that was predicted: ``mean_absolute_error`` in its own unit, and ``r2``."""
    return {
        "mean_absolute_error": float(mean_absolute_error(rows["target"], answers)),
        "r2": float(r2_score(rows["target"], answers)),
    }


TRAINING = Training(
    directory=HERE,
    parameters=PARAMETERS | SPLIT,
    gate=Gate(metric="mean_absolute_error", threshold=50, tolerance=1, greater_is_better=False),
    load_data=load_data,
    initialize_and_train=initialize_and_train,
    store_pyfunc_model=store_pyfunc_model,
    evaluate=evaluate,
)

if __name__ == "__main__":
    sys.exit(main(TRAINING))
