"""Score a Parquet file as one does by hand: python plain_pandas.py MODEL_URI INPUT OUTPUT."""

import sys

import mlflow
import pandas as pd

uri, source, output = sys.argv[1:]
frame = pd.read_parquet(source)
frame["prediction"] = mlflow.pyfunc.load_model(uri).predict(frame)
frame.to_parquet(output)
