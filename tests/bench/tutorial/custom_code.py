"""As in MLflow's tutorial: code of one's own that the model needs."""

from collections.abc import Iterable


def iris_classes(predictions: Iterable[int]) -> list[str]:
    """Name the species of each class number."""
    classes = ["setosa", "versicolor", "virginica"]
    return [classes[number] for number in predictions]
