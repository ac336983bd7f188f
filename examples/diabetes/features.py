"""The helper module: it travels with the model through ``code_paths``, and the pipeline refers to it."""

import pandas as pd

# Whole numbers become floats, so that one missing value could not change a column's type.
NUMBERS = ["age", "bmi", "blood_pressure", "ldl", "hdl", "triglycerides", "glucose"]
CATEGORIES = ["sex"]


def add_ratio(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``rows`` with one more column, ``ldl_per_hdl``, and the numbers as floats."""
    rows = rows.astype(dict.fromkeys(NUMBERS, "float64"))
    return rows.assign(ldl_per_hdl=rows["ldl"] / rows["hdl"])
