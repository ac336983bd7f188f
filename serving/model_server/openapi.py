"""The model's signature and its input example, as an OpenAPI document."""

import json
from typing import Any

from mlflow.types import DataType, ParamSchema, Schema, TensorSpec

from model_server.answers import without_nan
from model_server.signature import Column, columns_of, named_columns

_TYPES: dict[DataType, dict[str, Any]] = {
    DataType.boolean: {"type": "boolean"},
    DataType.integer: {"type": "integer", "format": "int32"},
    DataType.long: {"type": "integer", "format": "int64"},
    DataType.float: {"type": "number", "format": "float"},
    DataType.double: {"type": "number", "format": "double"},
    DataType.string: {"type": "string"},
    DataType.binary: {"type": "string", "format": "byte"},
    DataType.datetime: {
        "type": "string",
        "format": "date-time",
        "description": "A date, or a date and a time, as in ISO 8601. Times with a zone become UTC.",
    },
}
_NULLABLE = (DataType.float, DataType.double, DataType.string, DataType.datetime)
_SIMPLE = {
    "/ping": "Whether the server is up",
    "/health": "The same",
    "/version": "The version of MLflow",
    "/model": "Which model this is, and since when it is served",
    "/metrics": "Metrics in Prometheus' format",
}
_REFUSALS = {
    "400": "The request has none of the formats, or does not fit the signature; the message says where",
    "413": "The body is too large",
    "415": "The Content-Type is missing, or not one of those above; or the body has a Content-Encoding",
    "500": "The model failed; the log of the server says how",
    "503": "Too many requests wait; try again later",
    "504": "The model took too long",
}

_NO_SIGNATURE = (
    "The model has no signature for its input: nothing is checked before the model gets a request, and its"
    " own code fails on what it can't use."
)
_NO_EXAMPLE = "No input example was logged with the model: the values below only show the form of a request."


def openapi(
    identity: dict[str, str],
    inputs: Schema | None,
    outputs: Schema | None,
    params: ParamSchema | None,
    example: str | None,
) -> dict[str, Any]:
    """Describe the server of one model; ``example`` is a request for predictions, in JSON."""
    post = {
        "summary": "Ask for predictions",
        "description": "\n\n".join([_as_markdown(inputs), *([] if example else [_NO_EXAMPLE])]),
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _request(inputs, params),
                    "examples": _examples(_read(example)) if example else {},
                },
                "text/csv": {"schema": {"type": "string"}},
            },
        },
        "responses": {
            "200": {
                "description": "An answer for each row",
                "content": {"application/json": {"schema": _response(outputs)}},
            },
            **{
                status: {
                    "description": what,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
                }
                for status, what in _REFUSALS.items()
            },
        },
    }
    simple = {
        path: {"get": {"summary": what, "responses": {"200": {"description": "It is up"}}}}
        for path, what in _SIMPLE.items()
    }
    text = {"type": "string"}
    refusal = {"type": "object", "properties": {"error_code": text, "message": text}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{identity['name']}, version {identity['version']}",
            "version": identity["version"],
            "description": f"An MLflow model; run id `{identity['run_id']}`.",
        },
        "paths": {"/invocations": {"post": post}, **simple},
        "components": {"schemas": {"Refusal": refusal}},
    }


def _as_markdown(inputs: Schema | None) -> str:
    if inputs is None:
        return _NO_SIGNATURE
    if inputs.is_tensor_spec():
        what, of_each = "tensor", "shape"
        tensors = [spec for spec in inputs.inputs if isinstance(spec, TensorSpec)]
        rows = [f"| {tensor.name or '-'} | {tensor.type} | {tensor.shape} |" for tensor in tensors]
    else:
        what, of_each = "column", "required"
        rows = [
            f"| {column.name} | {column.type_name} | {'yes' if column.required else 'no'} |"
            for column in columns_of(inputs)
        ]
    return "\n".join(
        [f"The {what}s of the signature:\n", f"| {what} | type | {of_each} |", "|---|---|---|", *rows]
    )


def _schema(column: Column) -> dict[str, Any]:
    """Describe a column: any may be left out if it is optional, but null is taken in some only."""
    found = {} if column.kind is None else _TYPES[column.kind]
    is_nullable = not column.required and column.kind in _NULLABLE
    return {**found, "type": [found["type"], "null"]} if is_nullable else found


def _request(inputs: Schema | None, params: ParamSchema | None) -> dict[str, Any]:
    record: dict[str, Any] = {}
    columns = named_columns(inputs)
    # JSON has no numbers as names of properties.
    has_numbers = any(not isinstance(column.name, str) for column in columns)
    if columns:
        record = {
            "type": "object",
            "properties": {column.name: _schema(column) for column in columns},
            "required": [str(column.name) for column in columns if column.required],
        }
    rows = {"type": "array", "items": record}
    split = {
        "type": "object",
        "properties": {
            "columns": {
                "type": "array",
                "items": {"enum": [column.name for column in columns]} if columns else {},
            },
            "data": {"type": "array", "items": {"type": "array"}},
        },
        "required": ["columns", "data"],
    }
    formats: dict[str, Any] = {"dataframe_split": split}
    if not has_numbers:
        formats |= {"dataframe_records": rows, "instances": rows}
    formats["inputs"] = {}
    extra = {} if params is None else {"params": _params(params)}
    return {
        "oneOf": [
            {"type": "object", "title": name, "properties": {name: of, **extra}, "required": [name]}
            for name, of in formats.items()
        ]
    }


def _params(params: ParamSchema) -> dict[str, Any]:
    properties = {
        param.name: {
            **(_TYPES[param.dtype] if isinstance(param.dtype, DataType) and param.shape is None else {}),
            "default": param.default,
        }
        for param in params.params
    }
    return {"type": "object", "properties": _read(json.dumps(properties, default=str))}


def _response(outputs: Schema | None) -> dict[str, Any]:
    columns = columns_of(outputs)
    item = _schema(columns[0]) if len(columns) == 1 else {}
    answers = {"type": "array", "items": item}
    return {"type": "object", "properties": {"predictions": answers}, "required": ["predictions"]}


def _read(written: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads(without_nan(written.encode()))


def _examples(request: dict[str, Any]) -> dict[str, Any]:
    """Return the example in each of the formats, where it is a table; with its params, if it has some."""
    others = {"params": request.pop("params")} if "params" in request else {}
    examples = {name: {name: value} for name, value in request.items()}
    split = request.get("dataframe_split")
    if split is not None and all(isinstance(name, str) for name in split.get("columns", [0])):
        names, rows = split["columns"], split["data"]
        records = [dict(zip(names, row, strict=True)) for row in rows]
        lists = {name: [row[position] for row in rows] for position, name in enumerate(names)}
        examples["dataframe_records"] = {"dataframe_records": records}
        examples["instances"] = {"instances": records}
        examples["inputs"] = {"inputs": lists}
    return {name: {"value": {**value, **others}} for name, value in examples.items()}
