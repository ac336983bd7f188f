"""What all trainings have in common: it runs a model's train.py, and registers the model that comes of it.

python -P -m workflow DIRECTORY/train.py [--force]        with MLFLOW_TRACKING_URI naming the tracking server

That runs train.py in a copy of its directory. It may be a plain script. Or it describes a Training, as
trainer/train.py and examples/diabetes/train.py do; `python train.py` does the same then, where you are.
docs/own-model.md says what a train.py holds.
"""

from workflow.definition import Data, Gate, Training, TrainingError, requirements
from workflow.run import main

__all__ = ["Data", "Gate", "Training", "TrainingError", "main", "requirements"]
