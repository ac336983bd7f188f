"""The model server: what runs inside the baked image under Compose, and as a process without Docker.

It answers the common requests on a short path of its own, and hands all others to MLflow's scoring server.
Only this name is imported, with `serving/` on the module search path. So a model may have modules of any
other name.

    __main__, supervisor          load the model, then let gunicorn fork the workers: they share its memory
    loading, model_files          the model is loaded; in each worker, if a fork would break it
    worker, protocol              one worker: uvicorn's HTTP with bounds, and how it stops
    app                           the ASGI application: limits, who answers, metrics
    asking, pace                  the model is asked in a thread or, if it is quick, by the event loop
    pool                          the threads, and how busy they are
    short_path                    from JSON to the DataFrame that MLflow would make of it, or "not sure"
    model                         the model's own predict, and its answer as JSON
    strict                        what MLflow would change: each value in the type of its column, or refused
    handover                      the other path: MLflow's application; its errors are rewritten
    refusal                       what is wrong with a request that MLflow refused, in one sentence
    hosts                         which names the server answers to
    metrics, openapi, pages       /metrics; /openapi.json; /docs and /model
    settings, signature, answers  the settings; the columns of a signature; an answer
    output                        what the model prints and logs

The event loop reads a request for predictions, and a thread answers it, or the event loop itself if the model
is quick. The short path takes the request if its JSON has one of MLflow's four formats, exactly the columns
of a signature of named scalars, and values of just their types. tests/unit/test_short_path.py compares both
paths, by MLflow's own function: they give a model the same DataFrame, and a client the same bytes. Only null
in a column of text is read otherwise, unless SERVER_STRICT is false.
"""
