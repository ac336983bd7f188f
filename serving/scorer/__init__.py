"""The scorer: a model applied to tables in files, Parquet or CSV, with the answers written as Parquet.

It knows its own model's files, and nothing of the stack. Only this name is imported, with `serving/` on the
module search path. So a model may have modules of any other name.

    __main__, run, caller   one job: read it, check, score, and put OUTPUT into its place
    job                     what is to be scored, as it goes to each process
    sources, records        the files of INPUT; where a record of CSV ends
    columns                 their columns, checked against the signature
    parts                   the files, cut into parts that processes score one at a time
    scoring                 score a part, in batches: this is all that an engine needs
    reading, answers        the rows of a part; the answers as columns
    answer_types            of what type these are in all of the output
    output                  OUTPUT appears whole or not at all
    pool                    the parts on this machine, by processes
    spark                   the parts on Spark

How a model is loaded, and whether a fork would break it, it shares with the model server.
"""
