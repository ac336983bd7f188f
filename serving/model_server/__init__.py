"""The model server: what runs inside the baked image under Compose, and as a process without Docker.

It answers the common requests on a short path of its own, and hands all others to MLflow's scoring server.
It is imported by this name alone, with `serving/` on the module search path: a model may have modules of any
other name.
"""
