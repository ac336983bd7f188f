import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array
from model_server.openapi import openapi
from model_server.pages import pages

from tests.unit.model_servers import Served, as_json, serve

IDENTITY = {"name": "iris", "version": "3", "run_id": "r"}
FORMATS = ["dataframe_split", "dataframe_records", "instances", "inputs"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("pages"), "pages") as served:
        yield served


def strictly(body: bytes) -> dict[str, Any]:
    """Read JSON as a browser does: without NaN."""

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    document: dict[str, Any] = json.loads(body, parse_constant=refuse)
    return document


@pytest.fixture(scope="module")
def document(served: Served) -> dict[str, Any]:
    answer = served.ours.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    return strictly(answer.body)


def content(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
    return found


def parts(node: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Return each object within a document."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from parts(inner)


def test_the_document_has_what_openapi_requires(document: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"] == "pages, version 7"
    assert document["info"]["version"] == "7"
    for path, operations in document["paths"].items():
        assert path.startswith("/")
        for operation in operations.values():
            assert operation["responses"]
            for status, response in operation["responses"].items():
                assert re.fullmatch(r"[1-5]\d\d", status)
                assert response["description"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = {part["$ref"] for part in parts(document) if "$ref" in part}
    assert references
    for reference in references:
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_every_type_is_one_that_json_schema_has(document: dict[str, Any]) -> None:
    types = {"string", "number", "integer", "boolean", "object", "array", "null"}
    schemas = [part for part in parts(document) if isinstance(part.get("type"), str | list)]
    assert schemas
    for schema in schemas:
        assert {schema["type"]} <= types if isinstance(schema["type"], str) else set(schema["type"]) <= types


def test_every_path_that_is_promised_is_there(served: Served, document: dict[str, Any]) -> None:
    got = [path for path, operations in document["paths"].items() if "get" in operations]
    assert sorted(got) == ["/health", "/metrics", "/model", "/ping", "/version"]
    assert [served.ours.get(path).status for path in got] == [200] * 5


def test_there_is_an_example_in_each_format_and_each_gets_the_answer_of_mlflow(
    served: Served, document: dict[str, Any]
) -> None:
    examples = content(document)["application/json"]["examples"]
    assert sorted(examples) == sorted(FORMATS)
    for name, example in examples.items():
        body = as_json(**example["value"])
        answer = served.ours.post(body)
        assert list(example["value"]) == [name]
        assert (answer.status, json.loads(answer.body)) == (200, {"predictions": ["old", "young"]})
        assert json.loads(served.mlflow.post(body).body) == json.loads(answer.body)


def test_the_signature_is_shown_to_people_and_to_programs(document: dict[str, Any]) -> None:
    post = document["paths"]["/invocations"]["post"]
    assert "| age | long | yes |" in post["description"]
    assert "| weight | double | no |" in post["description"]
    schemas = {
        schema["title"]: schema["properties"]
        for schema in content(document)["application/json"]["schema"]["oneOf"]
    }
    assert sorted(schemas) == sorted(FORMATS)
    row = schemas["dataframe_records"]["dataframe_records"]["items"]
    assert row["required"] == ["age", "bmi", "task", "smoker"]
    assert row["properties"] == {
        "age": {"type": "integer", "format": "int64"},
        "bmi": {"type": "number", "format": "double"},
        "task": {"type": "string"},
        "smoker": {"type": "boolean"},
        "weight": {"type": ["number", "null"], "format": "double"},
    }
    for name in FORMATS:
        assert schemas[name]["params"]["properties"]["limit"]["default"] == 40.0
    answer = post["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["properties"]["predictions"]["items"] == {"type": "string"}


def test_null_is_offered_where_the_server_takes_it() -> None:
    inputs = Schema([ColSpec(kind, kind.name, required=False) for kind in DataType])
    document = openapi(IDENTITY, inputs, None, None, None)
    schemas = {schema["title"]: schema for schema in content(document)["application/json"]["schema"]["oneOf"]}
    columns = schemas["dataframe_records"]["properties"]["dataframe_records"]["items"]["properties"]
    nullable = {name for name, column in columns.items() if "null" in column["type"]}
    assert nullable == {"float", "double", "string", "datetime"}
    assert "UTC" in columns["datetime"]["description"]


def test_an_example_keeps_its_params() -> None:
    example = {"dataframe_split": {"columns": ["a"], "data": [[1.5]]}, "params": {"limit": 1.5}}
    inputs = Schema([ColSpec(DataType.double, "a")])
    document = openapi(IDENTITY, inputs, None, None, json.dumps(example))
    examples = content(document)["application/json"]["examples"]
    assert sorted(examples) == sorted(FORMATS)
    for name, of in examples.items():
        assert of["value"].keys() == {name, "params"}
        assert of["value"]["params"] == {"limit": 1.5}


def test_columns_that_are_named_by_numbers_can_be_described_and_sent() -> None:
    inputs = Schema([ColSpec(DataType.double, name) for name in (0, 1)])  # type: ignore[arg-type]
    for split in ({"data": [[1.5, 2.5]]}, {"columns": [0, 1], "data": [[1.5, 2.5]]}):
        document = openapi(IDENTITY, inputs, None, None, json.dumps({"dataframe_split": split}))
        assert content(document)["application/json"]["examples"] == {
            "dataframe_split": {"value": {"dataframe_split": split}}
        }
    offered = content(document)["application/json"]["schema"]["oneOf"]
    assert [schema["title"] for schema in offered] == ["dataframe_split", "inputs"]
    columns = offered[0]["properties"]["dataframe_split"]["properties"]["columns"]
    assert columns == {"type": "array", "items": {"enum": [0, 1]}}


def test_every_refusal_that_is_documented_has_the_form_of_one(document: dict[str, Any]) -> None:
    responses = document["paths"]["/invocations"]["post"]["responses"]
    assert sorted(responses) == ["200", "400", "413", "415", "500", "503", "504"]
    assert sorted(document["components"]["schemas"]["Refusal"]["properties"]) == ["error_code", "message"]


def test_the_page_for_people_needs_no_other_server(served: Served) -> None:
    answer = served.ours.get("/docs")
    page = answer.body.decode()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "http://" not in page
    assert "https://" not in page
    assert re.findall(r"""["'(]//""", page) == []
    assert "url: 'openapi.json'" in page
    kinds = {}
    for path in re.findall(r'(?:src|href)="([^"]+)"', page):
        found = served.ours.get(f"/{path}")
        assert (found.status, len(found.body) > 100) == (200, True), path
        kinds[path.rpartition(".")[2]] = found.headers["content-type"]
    assert kinds == {"js": "text/javascript", "css": "text/css", "png": "image/png"}


def test_a_name_is_not_taken_for_html() -> None:
    identity = IDENTITY | {"name": "</title><script>alert(1)</script>"}
    page = pages(identity, openapi(identity, None, None, None, None))["/docs"][1]
    assert b"<script>alert" not in page
    assert b"&lt;script&gt;alert" in page


def test_a_model_without_a_signature_or_an_example_has_a_document_too() -> None:
    document = openapi(IDENTITY, None, None, None, None)
    assert content(document)["application/json"]["examples"] == {}
    told = document["paths"]["/invocations"]["post"]["description"]
    assert "no signature" in told
    assert "No input example was logged" in told


def test_tensors_are_shown_with_their_shapes() -> None:
    inputs = Schema([TensorSpec(np.dtype("float32"), (-1, 2), name) for name in ("left", "right")])
    document = openapi(IDENTITY, inputs, None, None, json.dumps({"inputs": {}}))
    told = document["paths"]["/invocations"]["post"]["description"]
    assert "| left | float32 | (-1, 2) |\n| right | float32 | (-1, 2) |" in told
    assert "No input example" not in told


@pytest.mark.parametrize(
    "inputs",
    [
        Schema([ColSpec(kind, kind.name) for kind in DataType]),
        Schema([ColSpec(Array(DataType.double), "values", required=False)]),
        Schema([ColSpec(DataType.double), ColSpec(DataType.double)]),
        Schema([TensorSpec(np.dtype("float64"), (-1, 2))]),
    ],
    ids=["every type", "arrays", "no names", "a tensor"],
)
def test_every_signature_can_be_described(inputs: Schema) -> None:
    params = ParamSchema(
        [
            ParamSpec("cutoff", DataType.double, float("nan")),
            ParamSpec("since", DataType.datetime, "2026-01-01T00:00:00"),
            ParamSpec("stop", DataType.string, ["a"], (-1,)),
        ]
    )
    document = openapi(IDENTITY, inputs, inputs, params, json.dumps({"inputs": [[1.5, float("nan")]]}))
    strictly(json.dumps(document).encode())
    assert content(document)["application/json"]["examples"] == {
        "inputs": {"value": {"inputs": [[1.5, None]]}}
    }
