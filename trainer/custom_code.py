"""The model's own code, which is stored with it through ``code_paths``."""

from collections.abc import Iterable

CLASS_NAMES = ("setosa", "versicolor", "virginica")


def iris_classes(predictions: Iterable[int]) -> list[str]:
    """Name the iris species of each class number (0, 1 or 2, as in scikit-learn's data set)."""
    return [CLASS_NAMES[number] for number in predictions]
