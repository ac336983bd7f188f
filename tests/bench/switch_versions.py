"""The versions between which a stack switches: right ones, and some that fail after the training."""

from dataclasses import dataclass, field

from stack.errors import StackError
from tests.bench.switch_results import FAILING_REPLAY, FAILING_START, FAILING_WHERE_SERVED
from tests.e2e.stacks import Stack

_LOAD = "        self.classifier = "
_PREDICT = "model_input.to_numpy()"
# What in iris_classifier.py is replaced by what. Only the model server sets these variables.
_CHANGES = {
    FAILING_REPLAY: (_PREDICT, f"{_PREDICT}[:: -1 if 'SERVER_PORT' in os.environ else 1]"),
    FAILING_START: (_LOAD, f"        assert 'SERVER_PORT' not in os.environ, 'not here'\n{_LOAD}"),
    FAILING_WHERE_SERVED: (_LOAD, f"        assert 'SERVER_OWN_PORT' not in os.environ, 'not here'\n{_LOAD}"),
}
_TAGS = ("fingerprint", "gate", "metric")


def ways_to_fail(mode: str) -> list[str]:
    """Return the steps with a version that fails. With Docker, a trial is started like what is served."""
    return [kind for kind in _CHANGES if mode == "native" or kind != FAILING_WHERE_SERVED]


def broken(kind: str, text: str) -> str:
    """Return the code of a model that is right in the training and fails in that way later.

    Raises:
        StackError: if ``text`` is another model.

    """
    before, after = _CHANGES[kind]
    if before not in text:
        raise StackError(f"expected {before.strip()!r} in the model's code, to make a model that fails")
    return f"import os\n{text.replace(before, after)}"


@dataclass
class Versions:
    """The versions on one stack, whose checkout may be changed."""

    stack: Stack
    right: list[str] = field(default_factory=list)
    failing: dict[str, str] = field(default_factory=dict)

    def train_failing(self) -> None:
        """Train a version for each way to fail; the stack is up."""
        self.right.append(self.stack.aliases()["champion"])
        model = self.stack.checkout / "trainer" / "iris_classifier.py"
        text = model.read_text()
        for kind in ways_to_fail(self.stack.mode):
            model.write_text(broken(kind, text))
            self.stack.script("train", "--force")
            self.failing[kind] = self.stack.aliases()["candidate"]
        model.write_text(text)
        self.remove_candidate()

    def register_again(self, version: str) -> str:
        """Register a version's model as the candidate, as if it had been trained again; return its number."""
        client, name = self.stack.client, self.stack.model.name
        of = client.get_model_version(name, version)
        source, tags = of.source or "", {tag: of.tags[tag] for tag in _TAGS}
        model_id = source.removeprefix("models:/")
        again = client.create_model_version(
            name, source, of.run_id, tags=tags, model_id=model_id, await_creation_for=0
        )
        client.set_registered_model_alias(name, "candidate", again.version)
        return str(again.version)

    def remove_candidate(self) -> None:
        """Let no version be the candidate: one that has failed stays it."""
        self.stack.client.delete_registered_model_alias(self.stack.model.name, "candidate")
