"""The columns of a model's signature, as the other modules need them."""

from dataclasses import dataclass

from mlflow.types import ColSpec, DataType, Schema


@dataclass(frozen=True)
class Column:
    """One column; ``kind`` is None if it does not hold scalars of one type."""

    name: str
    kind: DataType | None
    type_name: str
    required: bool


def columns_of(schema: Schema | None) -> list[Column]:
    """Return the columns of the signature's inputs or outputs; none if it has tensors, or no signature.

    Columns without a name are named by their position, from 0.
    """
    if schema is None or schema.is_tensor_spec():
        return []
    return [
        _column(position, spec) for position, spec in enumerate(schema.inputs) if isinstance(spec, ColSpec)
    ]


def _column(position: int, spec: ColSpec) -> Column:
    name = str(position) if spec.name is None else spec.name
    if isinstance(spec.type, DataType):
        return Column(name, spec.type, spec.type.name, spec.required)
    return Column(name, None, str(spec.type), spec.required)


def named_columns(schema: Schema | None) -> list[Column]:
    """Return the columns if the signature names them; else none."""
    return columns_of(schema) if schema is not None and schema.has_input_names() else []
