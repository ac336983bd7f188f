"""What is private in MLflow is used only where it is explained; what a new MLflow has moved is named.

No module of ours that needs MLflow is imported here: where MLflow has moved something, it can't be imported.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import mlflow.pyfunc
import pytest
from mlflow.pyfunc import PyFuncModel, PythonModel

from stack.config import CHECKOUT

FILES = {
    file.relative_to(CHECKOUT).as_posix(): ast.parse(file.read_text())
    for part in ("stack", "serving", "tracking", "trainer")
    for file in sorted((CHECKOUT / part).rglob("*.py"))
}
# Of MLflow's modules, those that may be used: they have a page in the reference of its Python API.
PUBLIC = {
    "mlflow",
    "mlflow.artifacts",
    "mlflow.data",
    "mlflow.data.pandas_dataset",
    "mlflow.entities",
    "mlflow.entities.model_registry",
    "mlflow.environment_variables",
    "mlflow.exceptions",
    "mlflow.models",
    "mlflow.models.model",
    "mlflow.pyfunc",
    "mlflow.types",
}


def listed(tree: ast.Module) -> tuple[str, ...]:
    """Return a module's PRIVATE, without importing it."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PRIVATE":
            return tuple(ast.literal_eval(node.value))
    return ()


PRIVATE = {file: names for file, tree in FILES.items() if (names := listed(tree))}
# Those of objects, which no import names.
ATTRIBUTES = {
    path.rpartition(".")[2]
    for names in PRIVATE.values()
    for path in (name.partition(":")[2] for name in names)
    if "." in path or path.startswith("_")
}


class Tiny(PythonModel):
    def predict(self, model_input: list[str]) -> list[str]:  # type: ignore[override]
        return model_input


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PyFuncModel:
    path = tmp_path_factory.mktemp("tiny") / "model"
    mlflow.pyfunc.save_model(path, python_model=Tiny(), pip_requirements=[])
    loaded: PyFuncModel = mlflow.pyfunc.load_model(str(path))
    return loaded


def exists(name: str, model: PyFuncModel) -> bool:
    """Whether MLflow has ``module:dotted.name``; an attribute of a class may be one of its objects only."""
    module, _, path = name.partition(":")
    if not is_module(module):
        return False
    found: Any = importlib.import_module(module)
    if is_module(f"{module}.{path}"):
        return True
    for part in path.split("."):
        objects = [of for of in (model, *vars(model).values()) if type(of) is found]
        having = [of for of in (found, *objects) if hasattr(of, part)]
        if not having:
            return False
        found = getattr(having[0], part)
    return True


def is_module(dotted: str) -> bool:
    try:
        return find_spec(dotted) is not None
    except ModuleNotFoundError:  # what it would be in is no package
        return False


def moved(file: str, names: tuple[str, ...], model: PyFuncModel) -> list[str]:
    """Return a sentence for each name that MLflow does not have any more."""
    return [
        f"MLflow {mlflow.__version__} has no {name}; {file} says why it is needed, and what would do instead"
        for name in names
        if not exists(name, model)
    ]


def is_private(dotted: str) -> bool:
    parts = dotted.split(".")
    if any(part.startswith("_") and not part.endswith("__") for part in parts):
        return True
    prefixes = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return any(prefix not in PUBLIC and is_module(prefix) for prefix in prefixes)


def used(tree: ast.Module) -> Iterator[str]:
    """Yield what a module uses of MLflow that is private: whole names, and attributes as ``.name``."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
            if node.attr in ATTRIBUTES:
                yield f".{node.attr}"
        yield from (name for name in names if re.fullmatch(r"mlflow(\.\w+)*", name) and is_private(name))


def unlisted(tree: ast.Module) -> set[str]:
    """Return what a module uses of MLflow that is private, and that its PRIVATE does not name."""

    def is_listed(use: str) -> bool:
        names = [f"{name.replace(':', '.')}." for name in listed(tree)]
        if use.startswith("."):
            return any(name.endswith(f"{use}.") for name in names)
        # A module is imported for what is private in it.
        return any(name.startswith(f"{use}.") or f"{use}.".startswith(name) for name in names)

    return {use for use in used(tree) if not is_listed(use)}


def docstrings(tree: ast.Module) -> str:
    return "\n".join(
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def identifiers(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


def test_each_part_has_one_module_for_what_is_private() -> None:
    assert list(PRIVATE) == [
        "stack/mlflow_internals.py",
        "serving/model_server/mlflow_internals.py",
        "tracking/mlflow_internals.py",
        "trainer/workflow/answers.py",
    ]


@pytest.mark.parametrize("file", PRIVATE)
def test_mlflow_has_what_is_private(file: str, model: PyFuncModel) -> None:
    sentences = moved(file, PRIVATE[file], model)
    assert not sentences, "\n".join(sentences)


@pytest.mark.parametrize(
    "bogus",
    [
        "mlflow.server:_exec_cmd_of_old",
        "mlflow.server.no_such:app",
        "mlflow.no_such.at_all:app",
        "mlflow.types:no_such_hints",
        "mlflow.pyfunc:PyFuncModel._predict_fn_of_old",
        "mlflow.pyfunc:NoSuchModel._predict_fn",
    ],
)
def test_what_mlflow_has_moved_is_told_by_name(bogus: str, model: PyFuncModel) -> None:
    names = (
        "mlflow.server:_exec_cmd",
        bogus,
        "mlflow.pyfunc:PyFuncModel._predict_fn",
        "mlflow.types:type_hints",
    )
    (sentence,) = moved("stack/some.py", names, model)
    assert f" has no {bogus}; stack/some.py says why" in sentence


@pytest.mark.parametrize(("file", "name"), [(file, name) for file in PRIVATE for name in PRIVATE[file]])
def test_what_is_private_is_explained_where_it_is_used(file: str, name: str) -> None:
    last = re.split("[:.]", name)[-1]
    assert last in identifiers(FILES[file])
    assert re.search(rf"`(\w+\.)*{last}`", docstrings(FILES[file]))


def test_nothing_private_is_used_elsewhere() -> None:
    assert {file: found for file, tree in FILES.items() if (found := unlisted(tree))} == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from mlflow.models.utils import _enforce_schema", {"mlflow.models.utils._enforce_schema"}),
        ("from mlflow.pyfunc import scoring_server", {"mlflow.pyfunc.scoring_server"}),
        ("import mlflow.pyfunc.context as of", {"mlflow.pyfunc.context"}),
        ("import mlflow\nmlflow.pyfunc._load(1)", {"mlflow.pyfunc._load"}),
        ("def answer(model):\n    model._predict_fn = None", {"._predict_fn"}),
        ("from mlflow import __version__\nfrom mlflow.pyfunc import load_model", set()),
        ("PRIVATE = ('mlflow.server:_exec_cmd',)\nimport mlflow.server\nmlflow.server._exec_cmd()", set()),
        ("PRIVATE = ('mlflow.server:_exec_cmd',)\nfrom mlflow.server import _app", {"mlflow.server._app"}),
    ],
)
def test_what_is_private_is_found_in_code(code: str, found: set[str]) -> None:
    assert unlisted(ast.parse(code)) == found
