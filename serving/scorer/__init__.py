"""The scorer: a model applied to tables in files, Parquet or CSV, with the answers written as Parquet.

It knows its own model's files, and nothing of the stack. Only this name is imported, with `serving/` on the
module search path. So a model may have modules of any other name.

    __main__            read a job, check, score, and put OUTPUT into its place
    job                 what is to be scored, as it goes to each process
    sources             the files of INPUT, each one's schema, and its check against the signature
    parts               the files, cut into parts that processes score one at a time
    scoring             score a part: read, predict, write, in batches
    output              OUTPUT appears whole or not at all
    pool                the parts on this machine, by forked processes
    spark               the parts on Spark
"""
