"""Requests to the models of the zoo, as clients send them: right ones, and wrong ones of every kind."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS
from mlflow.pyfunc import PyFuncModel
from mlflow.types import DataType, ParamSchema, Schema, TensorSpec
from mlflow.types.schema import Array, Map, Object

from tests.unit.model_servers import CSV, JSON, MARK, PARQUET, as_json, csv, parquet
from tests.unit.requests_to_models import COMMON, FORMS, request
from tests.unit.zoo import CHATS, TOLD

_SAMPLES: dict[DataType, tuple[Any, Any]] = {
    DataType.boolean: (True, False),
    DataType.integer: (1, -2),
    DataType.long: (1, 2**53 + 1),
    DataType.float: (1.5, -2.25),
    DataType.double: (0.1, -2),
    DataType.string: ("a", "größe 🦆"),
    DataType.binary: (base64.b64encode(b"\x01\xff").decode(), ""),
    DataType.datetime: ("2024-01-31T10:00:00", "2024-02-29T00:00:00"),
}
_ODD: list[Any] = [
    MARK,
    "",
    "1",
    "59.9",
    "true",
    "2024-01-31",
    "2024-01-31T10:00:00+02:00",
    None,
    True,
    0,
    -1,
    59.9,
    59.0,
    3_000_000_000,
    10**18,
    2**63,
    1e39,
    10**400,
    float("nan"),
    float("inf"),
    "\ud800",
    [],
    [1],
    [MARK],
    {"a": MARK},
]
_MISSING = (None, float("nan"), "")
# What may be the data of any model.
_DATA: list[Any] = [
    [],
    {},
    None,
    1,
    "text",
    [1, 2],
    [MARK, 1],
    [None],
    [[1, 2], [3, 4]],
    [[1, 59.9]],
    [[59.9, 1]],
    [[1, "a"]],
    [[1, 2], [3]],
    [["a", "b"]],
    [[[1, 2], [3, 4]]],
    {"it": [1.5]},
    {"it": "a"},
    {"a": [[1, 2]], "b": [3]},
    [{"it": [1, 2]}],
    [{"it": {"name": "x"}}],
    [{"it": {"name": MARK, "age": "old"}}],
    [{"it": [{"name": "x", "age": 1}], "weight": 1.5}],
    [{"it": 1}, {"other": 2}],
    [{"it": 1}, 2],
    [{"a": [1, 2], "b": 3}, {"a": [4, 5], "b": 6}],
    [{"role": "user"}],
    [{"role": "user", "weight": "1.5", "inner": {"name": "x", "tags": ["y"]}}],
    [{"role": "user", "inner": {"tags": []}}],
    ["2024-01-31T10:00:00", "aGVsbG8="],
    [float("nan")],
]
_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"zebra42,,,",
    "half of JSON": b'{"inputs": [1',
    "a comma too many": b'{"inputs": [1,]}',
    "single quotes": b"{'inputs': [1]}",
    "not UTF-8": b'{"inputs": ["\xff"]}',
    "UTF-16": '{"inputs": [1]}'.encode("utf-16"),
    "a byte order mark": '{"inputs": [1]}'.encode("utf-8-sig"),
    "a list": b"[1]",
    "text": b'"zebra42"',
    "a number": b"1",
    "null": b"null",
    "an empty object": b"{}",
    "another key": b'{"zebra42": [1]}',
    "two formats": b'{"inputs": [1], "instances": [1]}',
    "two frames": b'{"dataframe_records": [], "dataframe_split": {"data": []}}',
    "a format and another key": b'{"inputs": [1], "zebra42": 1}',
    "a signature's name": b'{"instances": [1], "signature_name": "a"}',
    "JSON Lines": b'{"inputs": [1]}\n{"inputs": [2]}',
    "a repeated key": b'{"inputs": [1], "inputs": [2]}',
    "deep": b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "many digits": b'{"inputs": [' + b"1" * 5000 + b"]}",
    "split, a list": b'{"dataframe_split": [[1]]}',
    "split, no data": b'{"dataframe_split": {"columns": ["it"]}}',
    "split, empty": b'{"dataframe_split": {"columns": ["it"], "data": []}}',
    "split, another key": b'{"dataframe_split": {"columns": ["it"], "data": [[1]], "zebra42": 1}}',
    "split, too many values": b'{"dataframe_split": {"columns": ["it"], "data": [[1, 2]]}}',
    "split, equal names": b'{"dataframe_split": {"columns": ["it", "it"], "data": [[1, 2]]}}',
    "split, an object as a name": b'{"dataframe_split": {"columns": [{"it": 1}], "data": [[1]]}}',
    "split, a list as names": b'{"dataframe_split": {"columns": [["it"]], "data": [[1]]}}',
    "split, an index that is too short": b'{"dataframe_split": {"index": [1], "data": [[1], [2]]}}',
    "records, an object": b'{"dataframe_records": {"it": [1]}}',
    "records, no rows": b'{"dataframe_records": []}',
    "records, a number": b'{"dataframe_records": 1}',
    "records, an empty row": b'{"dataframe_records": [{}]}',
    "a chat": b'{"messages": [{"role": "user", "content": "hello"}], "temperature": 0.5}',
    "a completion": b'{"prompt": "hello", "max_tokens": 5}',
    "an embedding": b'{"input": "hello"}',
}
_TYPES = (
    None,
    "",
    "text/plain",
    "zebra42",
    "Application/JSON",
    "application/json; charset=UTF-8",
    "application/json;charset=utf-8",
    "application/json ; charset=utf-8",
    'application/json; charset="utf-8"',
    "application/json; charset=latin-1",
    "application/json; version=1",
    "application/json;",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "text/csv; header=present",
)
_CSVS = {
    "nothing": b"",
    "blank lines": b"\n\n",
    "names alone": b"it\n",
    "no names": b"1\n2\n",
    "not UTF-8": b"it\n\xff\n",
    "a row that is too long": b"it\n1\n1,2,3\n",
    "an open quote": b'it\n"1\n',
    "JSON": b'{"inputs": [1]}',
    "carriage returns": b"it\r\n1\r\n",
    "semicolons": b"it;other\n1;2\n",
    "a byte order mark": b"\xef\xbb\xbfit\n1\n",
    "equal names": b"it,it\n1,2\n",
    "spaces": b" it \n 1 \n",
}
_PARAMS: dict[str, list[Any]] = {
    "threshold": [0.25, 1, "0.5", "zebra42", None, [0.5], True, float("nan")],
    "count": [4, 4.0, 4.5, "4", None, True, 2**40],
    "mode": ["slow", 1, None, ["slow"]],
    "loud": [True, 1, "true", None],
    "since": ["2024-02-29", "zebra42", 1, None],
    "stop": [["b", "c"], [], "b", [1], [["b"]], None],
    "nothing": [1.5, None, "zebra42"],
    "options": [{"depth": 2}, {}, {"depth": "zebra42"}, {"zebra42": 1}, 1, None],
    "unknown": [1],
}
# What a model answers, or raises, as Python expressions.
_OUTPUTS = (
    "'text'",
    "[1, 2.5, 'a', None]",
    "None",
    "1.5",
    "2**70",
    "(1, 2)",
    "{1: 'a', None: 'b'}",
    "np.array([[0.1, 2], [3, 4]])",
    "np.array([0.1], np.float32)",
    "np.float32(0.1)",
    "np.int64(3)",
    "np.bool_(True)",
    "np.array(5)",
    "[np.float64(0.1), np.int64(3), np.bool_(True), np.str_('a')]",
    "{'a': np.array([1, 2])}",
    "pd.DataFrame({'a': [1, 2], 'b': ['x', None]})",
    "pd.Series([1.5, 2.5], name='it')",
    "pd.Series(['x'])",
    "pd.Series(pd.to_datetime(['2024-01-31']))",
    "datetime.datetime(2024, 1, 31)",
    "[datetime.date(2024, 1, 31)]",
    "pd.Timestamp('2024-01-31')",
    "np.array(['2024-01-31'], 'datetime64[ns]')",
    "b'\\xff'",
    "np.array([b'\\xff'])",
    "{(1, 2): 'a'}",
    "{1}",
    "[1j]",
    "[decimal.Decimal('1.5')]",
    "[pd.NA]",
    "object()",
    "(number for number in [1])",
    "[chr(0xd800)]",
    "[float('nan'), 1.5]",
    "np.array([np.inf, -np.inf])",
    "pd.DataFrame({'a': [1.5, None]})",
    "np.float64('nan')",
)
_ERRORS = (
    *(f"{name}('zebra42')" for name in ("ValueError", "KeyError", "RecursionError", "MemoryError")),
    *(f"{name}('zebra42')" for name in ("TimeoutError", "StopIteration", "MlflowException")),
    *(
        f"MlflowException('no luck', error_code=ErrorCode.Value({code!r}))"
        for code in sorted(ERROR_CODE_TO_HTTP_STATUS)
    ),
    "MlflowException.invalid_parameter_value('no luck')",
    "RestException({'error_code': 'RESOURCE_DOES_NOT_EXIST', 'message': 'zebra42'})",
    "RestException({'error_code': 'INVALID_PARAMETER_VALUE', 'message': 'zebra42'})",
)
MESSAGES: dict[str, Any] = {
    "right": [{"role": "user", "content": "hello"}],
    "none": [],
    "no role": [{"content": MARK}],
    "no content": [{"role": "user"}],
    "null as content": [{"role": "user", "content": None}],
    "a number as content": [{"role": "user", "content": 5}],
    "parts as content": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}],
    "a number as role": [{"role": 5, "content": MARK}],
    "an unknown field": [{"role": "user", "content": "hello", MARK: 1}],
    "a message that is a number": [5],
    "a message that is text": [MARK],
    "text": MARK,
    "a number": 5,
    "null": None,
    "an object": {"role": "user", "content": "hello"},
}
_OPTIONS: dict[str, Any] = {
    "text as an option": {"temperature": MARK},
    "a number as an option": {"temperature": 0.5},
    "an option that is too large": {"temperature": 100},
    "text as the context": {"context": MARK},
    "a context": {"context": {"conversation_id": "1", "user_id": "2"}},
    "a number as custom inputs": {"custom_inputs": 5},
    "custom inputs": {"custom_inputs": {"a": 1}},
    "an unknown option": {MARK: 1},
    "streaming": {"stream": True},
    "params": {"params": {"a": 1}},
}


@dataclass(frozen=True)
class Request:
    """One request; ``place`` is how the sentence of a refusal begins, if there is one."""

    body: bytes = b""
    content_type: str | None = JSON
    path: str = "/invocations"
    method: str = "POST"
    more_headers: Mapping[str, str] = field(default_factory=dict)
    place: str = ""

    @property
    def headers(self) -> dict[str, str]:
        of_body = {"content-length": str(len(self.body))} if self.method == "POST" else {}
        of_type = {} if self.content_type is None else {"content-type": self.content_type}
        return {**of_body, **of_type, **self.more_headers}


def sample(kind: Any, row: int = 0) -> Any:  # noqa: ANN401 - of any type of a signature
    """Return a value of that type, in JSON; another one for each of two rows."""
    if isinstance(kind, DataType):
        return _SAMPLES[kind][row]
    if isinstance(kind, Array):
        return [sample(kind.dtype, row), sample(kind.dtype, 1 - row)]
    if isinstance(kind, Object):
        return {of.name: sample(of.dtype, row) for of in kind.properties}
    if isinstance(kind, Map):
        return {"x": sample(kind.value_type, row)}
    return {"any": [1, 2]}


def tensor(spec: TensorSpec) -> Any:  # noqa: ANN401
    """Return a tensor in JSON, with two rows."""
    made: Any = "a" if spec.type.kind == "U" else 1
    for length in reversed(spec.shape):
        made = [made] * (2 if length == -1 else length)
    return made


def of_bodies() -> Iterator[tuple[str, Request]]:
    """Yield JSON and what is none, of shapes that have nothing to do with a signature."""
    yield from ((name, Request(body)) for name, body in _BODIES.items())


def of_types(right: bytes) -> Iterator[tuple[str, Request]]:
    """Yield bodies of other types than JSON, and the ``right`` one with other types."""
    for name, body in _CSVS.items():
        yield f"CSV, {name}", Request(body, CSV)
    for content_type in _TYPES:
        yield f"{content_type}", Request(right, content_type)
    for body in (b"", b"zebra42", right):
        yield f"Parquet, {body[:9]!r}", Request(body, PARQUET)


def of_data() -> Iterator[tuple[str, Request]]:
    """Yield data of every shape."""
    for data in _DATA:
        for key in ("inputs", "instances"):
            yield f"{key}: {data}", Request(as_json(**{key: data}))
        if isinstance(data, list) and all(isinstance(row, dict | list) for row in data):
            yield f"records: {data}", Request(as_json(dataframe_records=data))
        if isinstance(data, list) and data and all(isinstance(row, list) for row in data):
            yield f"split: {data}", Request(as_json(dataframe_split={"data": data}))
            body = as_json(dataframe_split={"columns": list(range(len(data[0]))), "data": data})
            yield f"split with numbers: {data}", Request(body)


def of_rows(columns: dict[str, Any]) -> Iterator[tuple[str, Request]]:
    """Yield rows that fit named columns, and rows that don't quite."""
    names = list(columns)
    rows = [{name: sample(kind, row) for name, kind in columns.items()} for row in (0, 1)]
    more = [{**row, "more": MARK} for row in rows]
    for form in FORMS:
        yield form, Request(as_json(**request(form, names, rows)))
        yield f"{form}, one row", Request(as_json(**request(form, names, rows[:1])))
        yield f"{form}, a column too many", Request(as_json(**request(form, [*names, "more"], more)))
        yield f"{form}, in another order", Request(as_json(**request(form, names[::-1], rows)))
        for name in names:
            others = [other for other in names if other != name]
            yield f"{form}, without {name}", Request(as_json(**request(form, others, rows)))
    for name in names:
        less = [rows[0], {other: value for other, value in rows[1].items() if other != name}]
        for key in ("dataframe_records", "inputs", "instances"):
            yield f"{key}, a row without {name}", Request(as_json(**{key: less}))
    if all(isinstance(kind, DataType) for kind in columns.values()):
        yield "CSV", Request(csv(*rows), CSV)
        yield "CSV, a column too many", Request(csv(*more), CSV)
        yield (
            "CSV, a column less",
            Request(csv(*({name: row[name] for name in names[1:]} for row in rows)), CSV),
        )
    split = {"columns": names, "data": [list(row.values()) for row in rows], "index": ["a", 5]}
    yield "an index", Request(as_json(dataframe_split=split))
    yield "UTF-16", Request(as_json(dataframe_records=rows).decode().encode("utf-16"))
    yield "Parquet", Request(parquet(*rows), PARQUET)
    yield (
        "Parquet, a column less",
        Request(parquet(*({name: row[name] for name in names[1:]} for row in rows)), PARQUET),
    )


def of_values(name: str, kind: DataType, values: Iterable[Any]) -> Iterator[tuple[str, Request]]:
    """Yield odd values in one column, beside a right one and alone."""
    place = f"column {name!r}, row "
    for value in values:
        beside = [{name: sample(kind)}, {name: value}]
        for form in COMMON:
            for rows in (beside, beside[1:]) if form in ("split", "lists of inputs") else (beside,):
                what = f"{form}, {value!r:.20}, {len(rows)} rows"
                yield what, Request(as_json(**request(form, [name], rows)), place=place)
        for key in ("inputs", "instances"):
            both = as_json(**{key: [sample(kind), value]})
            yield (
                f"{key}, values alone, {value!r:.20}",
                Request(both, place="" if isinstance(value, dict) else place),
            )
            yield f"{key}, a value alone, {value!r:.20}", Request(as_json(**{key: value}))
        if not isinstance(value, list | dict) and value != "\ud800":
            yield f"CSV, {value!r:.20}", Request(csv(*beside), CSV, place=place)


def of_parquet(name: str) -> Iterator[tuple[str, Request]]:
    """Yield odd columns in Parquet, which has types of its own."""
    for value in ("a", 59.9, 3_000_000_000, True, None, [1], ["a"], {"a": 1}, b"a", datetime(2024, 1, 31)):
        yield f"Parquet, {value!r}", Request(parquet({name: value}), PARQUET)


def of_params(right: dict[str, Any]) -> Iterator[tuple[str, Request]]:
    """Yield params beside a right request."""
    for name, values in _PARAMS.items():
        for value in values:
            yield f"{name}: {value!r}", Request(as_json(**right, params={name: value}))
    odd: list[Any] = [None, {}, [], "zebra42", 1]
    for params in odd:
        yield f"params: {params!r}", Request(as_json(**right, params=params))


def of_chats(key: str) -> Iterator[tuple[str, Request]]:
    """Yield chats, and what is none; ``key`` is what holds the messages."""
    yield from of_bodies()
    for name, messages in MESSAGES.items():
        yield name, Request(as_json(**{key: messages}))
    for name, option in _OPTIONS.items():
        yield name, Request(as_json(**{key: MESSAGES["right"]}, **option))


def of_answers(kind: str) -> Iterator[tuple[str, Request]]:
    """Yield what tells a model to answer, or to fail, on each path."""
    for told in (*_OUTPUTS, *_ERRORS):
        if kind == "told":
            yield told, Request(as_json(dataframe_records=[{"it": told}]))
            yield f"params, {told}", Request(as_json(dataframe_records=[{"it": told}], params={}))
        else:
            yield told, Request(as_json(input=told))


def requests_to(kind: str, pyfunc: PyFuncModel) -> dict[str, Request]:
    """Return the requests to a model of the zoo, by what is special in them."""
    if kind in TOLD:
        return dict(of_answers(kind))
    if kind in CHATS:
        return dict(of_chats("input" if kind == "ResponsesAgent" else "messages"))
    return dict(_requests_to(pyfunc.metadata.get_input_schema(), pyfunc.metadata.get_params_schema()))


def _right(schema: Schema | None) -> dict[str, Any]:
    if schema is None:
        return {"inputs": [1]}
    values: list[Any] = [
        tensor(spec) if isinstance(spec, TensorSpec) else sample(spec.type) for spec in schema.inputs
    ]
    if schema.is_tensor_spec():
        named = schema.has_input_names()
        return {"inputs": dict(zip(schema.input_names(), values, strict=True)) if named else values[0]}
    names = {"columns": schema.input_names()} if schema.has_input_names() else {}
    return {"dataframe_split": {**names, "data": [values]}}


def _requests_to(schema: Schema | None, params: ParamSchema | None) -> Iterator[tuple[str, Request]]:
    right = _right(schema)
    yield "right", Request(as_json(**right))
    yield from of_bodies()
    if params is not None or schema is None:
        yield from of_types(as_json(**right))
    if params is not None:
        yield from of_params(right)
    columns: dict[Any, Any] = {}  # pandas may name them by numbers
    if schema is not None and not schema.is_tensor_spec() and schema.has_input_names():
        columns = {spec.name: spec.type for spec in schema.inputs}
        yield from of_rows(columns)
        if list(columns) == ["it"] and isinstance(columns["it"], DataType):
            yield from of_values("it", columns["it"], _ODD if schema.inputs[0].required else _MISSING)
            yield from of_parquet("it")
    is_scalar = bool(columns) and all(isinstance(kind, DataType) for kind in columns.values())
    if not is_scalar or 0 in columns:
        yield from of_data()
