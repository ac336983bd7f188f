"""The house has four parts that do not import each other; inside `stack`, an import goes downwards only."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from stack.__main__ import PLATFORMS
from stack.config import CHECKOUT
from stack.vendor import PLATFORMS as KNOWN_PLATFORMS

# The names by which each part's modules are imported.
PARTS = {
    "tracking": {
        "tracking",
        "mlflow_internals",
        "options",
        "database",
        "door",
        "stores",
        "postgres",
        "bucket",
        "store_lock",
        "artifacts",
        "garbage",
        "records",
    },
    "trainer": {"trainer", "workflow", "custom_code", "iris_classifier", "train", "infer"},
    "serving": {"serving", "model_server", "scorer"},
    "stack": {"stack"},
}
FLOORS = (
    (
        "stack.config",
        "stack.cluster",
        "stack.compose_file",
        "stack.model_env",
        "stack.errors",
        "stack.gateway",
        "stack.stores",
        "stack.tracking",
        "stack.tracking_settings",
        "stack.wait",
        "stack.interruption",
        "stack.mlflow_internals",
    ),
    ("stack.modes",),
    ("stack.release",),
    (
        "stack.backup",
        "stack.doctor",
        "stack.export",
        "stack.garbage",
        "stack.vendor",
        "stack.run",
        "stack.score",
        "stack.users",
    ),
    ("stack.__main__",),
)


def modules(part: str) -> Iterator[tuple[str, Path]]:
    """Yield the modules of a part, by their names from the checkout, with their files."""
    for file in sorted((CHECKOUT / part).rglob("*.py")):
        yield ".".join(file.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__"), file


def imports(file: Path) -> set[str]:
    """Return what a file imports, anywhere in it, each by the longest name that may be a module's."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


STACK = dict(modules("stack"))


def in_stack(name: str) -> str | None:
    """Return the module of `stack` that an imported name is, or is in."""
    while name and name not in STACK:
        name = name.rpartition(".")[0]
    return name or None


def floor(module: str) -> int:
    """Return how high up a module of `stack` is."""
    (found,) = [
        number
        for number, names in enumerate(FLOORS)
        for name in names
        if module == name or module.startswith(f"{name}.")
    ]
    return found


NEEDS = {
    module: {of for name in imports(file) if (of := in_stack(name)) and of not in (module, "stack")}
    for module, file in STACK.items()
    if module != "stack"
}


@pytest.mark.parametrize("part", PARTS)
def test_the_four_parts_do_not_import_each_other(part: str) -> None:
    others = set().union(*(names for other, names in PARTS.items() if other != part))
    found = {
        f"{module} imports {name}"
        for module, file in modules(part)
        for name in imports(file)
        if name.partition(".")[0] in others
    }
    assert found == set()


def test_an_import_in_the_stack_goes_downwards_or_stays_on_its_floor() -> None:
    upwards = {
        f"{module} imports {of}"
        for module, needs in NEEDS.items()
        for of in needs
        if floor(of) > floor(module)
    }
    assert upwards == set()


def test_there_is_no_circle_of_imports_in_the_stack() -> None:
    assert len(list(TopologicalSorter(NEEDS).static_order())) == len(NEEDS)


@pytest.mark.parametrize("verb", ["up", "down", "train", "predict", "infer", "doctor", "vendor"])
def test_a_verb_that_needs_no_mlflow_imports_none(verb: str) -> None:
    # All that the verb's function imports, in a process of its own.
    code = f"""
import ast, inspect, sys, importlib
import stack.__main__ as program
for node in ast.walk(ast.parse(inspect.getsource(program._{verb}))):
    if isinstance(node, ast.ImportFrom):
        importlib.import_module(node.module)
        for alias in node.names:
            try:
                importlib.import_module(f"{{node.module}}.{{alias.name}}")
            except ModuleNotFoundError:
                pass
assert len(sys.modules) > 50
sys.exit("mlflow" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=True)


def test_the_help_of_the_command_line_needs_no_packages() -> None:
    command = [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, '.'); import runpy;"]
    command[-1] += "sys.argv = ['stack', 'up', '-h']; runpy.run_module('stack', run_name='__main__')"
    shown = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "usage: ./scripts/up" in shown.stdout


def test_the_platforms_of_the_help_are_those_that_can_be_collected_for() -> None:
    assert sorted(PLATFORMS) == sorted(KNOWN_PLATFORMS)
