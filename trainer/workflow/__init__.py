"""What all trainings have in common: a model's train.py describes the model, and this package trains it.

python -P -m workflow DIRECTORY/train.py [--force]        with MLFLOW_TRACKING_URI naming the tracking server

That runs train.py in an empty working directory; `python train.py` does the same in the one where you are.
docs/own-model.md says what such a train.py holds. trainer/train.py is one, and examples/diabetes/train.py
another.
"""

from workflow.definition import Data, Gate, Training, TrainingError, requirements
from workflow.run import main

__all__ = ["Data", "Gate", "Training", "TrainingError", "main", "requirements"]
