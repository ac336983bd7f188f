"""What the two modes have in common: how a version is baked, checked and served, and what runs."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from glob import glob
from pathlib import Path
from typing import Protocol

from stack.cluster import Cluster
from stack.config import Config
from stack.modes.environment import Environment

LOG_LINES = 20

Check = Callable[[str], object]
"""Checks the model server at a URL; raises StackError if something is wrong."""


def nothing(_url: str) -> None:
    """Check nothing."""


@dataclass(frozen=True)
class Served:
    """What the model server serves now; ``image_id`` identifies what was baked, as the mode defines it."""

    model_name: str
    version: str
    image_id: str
    is_healthy: bool


@dataclass(frozen=True)
class Service:
    """One part of the stack: whether it is up, its state in a word or two, and since when, if known."""

    name: str
    is_up: bool
    state: str
    since: datetime | None


@dataclass(frozen=True)
class ScoredPaths:
    """What a scorer reads and writes: INPUT, which may be a glob, and OUTPUT; both absolute."""

    input: str
    output: Path

    @property
    def read(self) -> Path:
        """The directory that holds all files of INPUT."""
        found = Path(self.input)
        while not found.is_dir():
            found = found.parent
        return found

    def leading_out(self) -> str | None:
        """Return the first file of INPUT that is a link out of that directory; None if there is none."""
        inside = self.read.resolve()
        if Path(self.input).is_dir():
            files = sorted(map(str, Path(self.input).iterdir()))
        else:
            files = [self.input] if Path(self.input).exists() else sorted(glob(self.input))  # noqa: PTH207
        return next((each for each in files if not Path(each).resolve().is_relative_to(inside)), None)


@dataclass(frozen=True)
class Scorer:
    """How a scorer is started: its command line and environment, and where it finds the model's files.

    The command ``kill`` ends what goes on when the command line has been killed, if anything may.
    """

    command: list[str]
    environment: dict[str, str]
    model: str
    kill: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Program:
    """How a program is started. What it is given and gives goes through its standard streams."""

    command: list[str]
    environment: dict[str, str]


AtStores = Callable[..., Program]
"""Returns how a program of tracking/ is started, by its name and arguments."""


@dataclass(frozen=True)
class Unneeded:
    """An image or a directory that can be removed, and about how many bytes that gives back."""

    name: str
    size: int


class Mode(Protocol):
    """One of the two modes, for one stack and one registered model."""

    @property
    def config(self) -> Config:
        """The settings."""

    @property
    def starts_beside(self) -> bool:
        """Whether a new model server starts beside the one that serves, because both can have the port."""

    @property
    def python(self) -> str:
        """The minor version of the Python that the locked packages are installed for, such as 3.13."""

    def check(self) -> None:
        """Raise StackError if nothing can be served here, or not as it is set."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep out other deployments while this one runs; LockedError if another one runs."""

    def clean_up(self) -> None:
        """Remove what a killed deployment left."""

    def image_id(self, version: str) -> str:
        """Return what identifies the baked version and its model server, by their contents.

        Empty if it is not baked, or was baked with other packages or another model server than today's.
        """

    def scratch(self) -> AbstractContextManager[str]:
        """Make a directory for a model's files, and remove it at the end."""

    def prepare(self, environment: Environment, on_wait: Callable[[], None]) -> str:
        """Make an environment, if it is not there; return the packages that it holds, a line each.

        An exception of ``on_wait`` ends that.

        Raises:
            StackError: if it can't be made.

        """

    def answer(
        self, model: Path, environment: Environment | None, request: str, on_wait: Callable[[], None]
    ) -> str:
        """Return what the model in a directory answers to a request, as JSON in MLflow's formats.

        `mlflow models predict` loads it, in a process of its own. An exception of ``on_wait`` ends that.

        Raises:
            StackError: if it fails or takes too long, with the end of what it wrote.

        """

    def check_spark(self, cluster: Cluster) -> None:
        """Raise StackError if the driver of that cluster can't run here."""

    def scorer(
        self, model: Path, environment: Environment | None, paths: ScoredPaths, cluster: Cluster | None
    ) -> Scorer:
        """Return how the scorer is started for the model in a directory; the environment is prepared.

        Where a cluster is to score, Spark is installed, if it is not there.

        Raises:
            StackError: if it can't be installed.

        """

    def bake(self, version: str, model: Path, environment: Environment | None) -> None:
        """Bake a version of these files, which may be moved; do not touch what is served.

        An environment must have been prepared; without one, the model gets the locked packages.
        """

    def fits_beside(self) -> bool:
        """Whether there is memory for a second model server beside the one that serves."""

    def trial(self, version: str) -> AbstractContextManager[str]:
        """Run a baked version as it would be served, but separately; yield its URL."""

    def check_split(self) -> None:
        """Raise StackError if the requests can't be split here."""

    def split(self, percent: int) -> AbstractContextManager[Callable[[], bool]]:
        """Let so many of 100 requests for predictions go to the trial; yield whether they still do.

        It ends with this process, whatever ends that.
        """

    def served_url(self) -> str:
        """Return where the model server itself can be asked; something must be served."""

    def serve(self, version: str, check: Check = nothing) -> None:
        """Serve a baked version in place of what is served now; ``check`` gets its URL.

        If ``starts_beside``, the new server starts first, and then the old one stops; otherwise the old one
        stops first.

        Raises:
            StackError: if the new one does not start, or ``check`` raises it. The new one is stopped then,
                and the old one still serves, unless it had to stop first.

        """

    def stop_serving(self) -> None:
        """Stop serving."""

    def last_log(self) -> str:
        """Return the end of the log of the model server that was started last; it still runs."""

    def served(self) -> Served | None:
        """Return what is served now; None if nothing is."""

    def is_current(self) -> bool:
        """Whether what is served was started with today's settings; something must be served."""

    def remember(self, version: str) -> None:
        """Note that this version, which is served, is right: at the next start it is served first."""

    def last_served(self) -> str | None:
        """Return the version that was served last, if its files are the same as when it passed the replay.

        This needs no tracking server.
        """

    def baked_versions(self) -> list[str]:
        """Return the versions that are baked."""

    def discard(self, version: str) -> None:
        """Remove a baked version, unless something uses it."""

    def tidy(self) -> None:
        """Remove what nothing uses or will use again."""

    def of_model(self, name: str) -> "Mode":
        """Return the mode for another registered model of the same stack."""

    def baked_models(self) -> list[str]:
        """Return the registered models of which versions are baked, if only in former times."""

    def unneeded(self, versions: Mapping[str, Collection[str]]) -> list[Unneeded]:
        """Return what can be removed if these baked versions of each model can: these, and environments.

        What runs is not among it.
        """

    def remove(self, unneeded: Unneeded) -> str:
        """Remove that; return why it stays, if it does."""

    def wait_for_training(self, on_wait: Callable[[], None]) -> None:
        """Return when no trainer that `up` has started runs; an exception of ``on_wait`` ends the wait."""

    def at_stores(self) -> AbstractContextManager[AtStores]:
        """Yield how programs of tracking/ are started that reach the stores as the tracking server does.

        The stack need not be up.

        Raises:
            StackError: if none can be started.

        """

    def services(self) -> list[Service]:
        """Return all the parts of the stack."""
