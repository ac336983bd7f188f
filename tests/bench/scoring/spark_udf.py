"""Score a Parquet file as MLflow documents it for Spark: python spark_udf.py MODEL_URI INPUT OUTPUT MASTER.

https://mlflow.org/docs/latest/api_reference/python_api/mlflow.pyfunc.html#mlflow.pyfunc.spark_udf
"""

import sys

import mlflow
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, struct

uri, source, output, master = sys.argv[1:]
spark = SparkSession.builder.master(master).getOrCreate()
frame = spark.read.parquet(source)
predict = mlflow.pyfunc.spark_udf(spark, uri, result_type="string", env_manager="local")
frame.withColumn("prediction", predict(struct(*map(col, frame.columns)))).write.parquet(output)
spark.stop()
