"""Score a Parquet file by a model server: python over_http.py HOST:PORT INPUT OUTPUT ROWS CLIENTS.

Each request holds so many rows. Each client is a thread that keeps its connection; its JSON is made in C.
"""

import http.client
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

address, source, output, rows, clients = sys.argv[1:]
mine = threading.local()


def score(batch: pa.RecordBatch) -> pa.Table:
    """Ask for a prediction for each row; the first column is the row's id, which the model does not take."""
    columns = batch.schema.names[1:]
    data = np.column_stack([batch.column(name).to_numpy() for name in columns])
    body = orjson.dumps(
        {"dataframe_split": {"columns": columns, "data": data}}, option=orjson.OPT_SERIALIZE_NUMPY
    )
    if not hasattr(mine, "connection"):
        mine.connection = http.client.HTTPConnection(address)
    mine.connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    answer = mine.connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        sys.exit(f"expected status 200, found {answer.status}: {content[:300]!r}")
    predictions = pa.array(orjson.loads(content)["predictions"])
    return pa.Table.from_batches([batch]).append_column("prediction", predictions)


with ThreadPoolExecutor(int(clients)) as threads:
    batches = pq.ParquetFile(source).iter_batches(int(rows))
    pq.write_table(pa.concat_tables(threads.map(score, batches)), output)
