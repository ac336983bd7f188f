"""Score a Parquet file by a model server: python over_http_documented.py HOST:PORT INPUT OUTPUT ROWS.

As MLflow documents it: requests, and what pandas makes of so many rows by to_dict(orient="split").
https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/
"""

import sys

import pandas as pd
import requests

address, source, output, rows = sys.argv[1:]
answers = []
frame = pd.read_parquet(source)
features = frame.drop(columns=frame.columns[0])  # the row's id, which the model does not take
with requests.Session() as session:
    for first in range(0, len(frame), int(rows)):
        batch = features.iloc[first : first + int(rows)]
        split = batch.to_dict(orient="split")
        del split["index"]
        answer = session.post(f"http://{address}/invocations", json={"dataframe_split": split})
        answer.raise_for_status()
        answers += answer.json()["predictions"]
frame.assign(prediction=answers).to_parquet(output, index=False)
