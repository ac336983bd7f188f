"""What nobody needs any more is found in the stores and removed, and nothing else."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
import store_lock
import stores
from garbage import Garbage, opened
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from stack.config import Config
from stack.modes.at_stores import here
from stack.modes.parts import stores_of
from stack.modes.preflight import prepare_home
from tests.real_stores import running_postgres, running_s3
from tests.unit.tracking_servers import as_client, own_config, running

DAY = 24 * 60 * 60


@dataclass
class Stores:
    """A tracking server's stores, and what is garbage in them 40 days from now, of 30 days or more."""

    config: Config
    client: MlflowClient
    garbage: Garbage

    def found(self, garbage: Garbage | None = None) -> dict[str, dict[str, Any]]:
        """Return what can be removed, by its id."""
        everything = (garbage or self.garbage).find()
        return {it["id"]: it for it in everything if it["kind"] != "version" and "stays" not in it}

    def staying(self) -> dict[str, str]:
        return {it["id"]: it["stays"] for it in self.garbage.find() if "stays" in it}

    def remove(self, identity: str) -> dict[str, Any]:
        return self.garbage.remove(self.found()[identity])

    def files(self, under: str) -> list[str]:
        return [file.name for file in self.garbage.kept.files(under)]

    def write(self, name: str) -> None:
        """Write a file among the artifacts."""
        with Path(__file__).open("rb") as content:
            self.garbage.kept.write(name, content)

    def sql(self, statement: str, **values: object) -> None:
        from sqlalchemy import text

        with self.garbage.rows.session() as session:
            session.execute(text(statement), values)

    def run(self, experiment: str = "0", name: str = "one") -> str:
        """Make a run with a file of 10 bytes, and other things."""
        run = str(self.client.create_run(experiment, run_name=name).info.run_id)
        self.client.log_text(run, "0123456789", "some dir/größe.txt")
        self.client.log_metric(run, "accuracy", 0.5)
        self.client.log_param(run, "depth", 3)
        self.client.set_terminated(run)
        return run

    def model(self, experiment: str = "0", run: str | None = None) -> str:
        """Make a model with a file of 7 bytes, and a metric that its run logs for it."""
        model = self.client.create_logged_model(experiment, "model", run, params={"a": "b"}, tags={"c": "d"})
        logging = run or self.run(experiment)
        self.client.log_metric(logging, "loss", 1.0, model_id=model.model_id)
        file = self.config.home / "MLmodel"
        file.write_text("a: file")
        self.client.log_model_artifact(model.model_id, str(file))
        self.client.finalize_logged_model(model.model_id, "READY")
        return str(model.model_id)

    def version(self, name: str, source: str, run: str | None = None) -> str:
        """Register a version of a model that is there or not."""
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            assert error.error_code == "RESOURCE_ALREADY_EXISTS"  # noqa: PT017
        model = source.removeprefix("models:/") if source.startswith("models:/m-") else None
        made = self.client.create_model_version(name, source, run, model_id=model)
        return str(made.version)

    def experiment(self, name: str) -> str:
        return str(self.client.create_experiment(f"{name} {time.time_ns()}"))


@pytest.fixture(scope="module", params=["a file and a directory", "PostgreSQL and S3"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with ExitStack() as stack:
        settings = {}
        if "S3" in request.param:
            database = stack.enter_context(running_postgres())
            s3 = stack.enter_context(running_s3(tmp_path_factory.mktemp("s3")))
            settings = {"BACKEND_STORE_URI": database.uri(), **s3.settings()}
        config = own_config(tmp_path_factory.mktemp("stack") / "home", settings)
        stack.enter_context(running(config))
        stack.enter_context(as_client(config.own_tracking_url))
        os.environ.update(stores_of(config))
        garbage = opened(stores.use(os.environ), 30)
        assert garbage
        later = replace(garbage, now=time.time() + 40 * DAY)
        yield Stores(config, MlflowClient(config.own_tracking_url), later)


# What goes


def test_a_deleted_run_goes_with_its_files(kept: Stores) -> None:
    run, other = kept.run(name="a name"), kept.run()
    kept.client.delete_run(run)
    assert kept.found()[run] == {"kind": "run", "id": run, "name": "a name", "files": 1, "bytes": 10}
    assert other not in kept.found()
    assert run not in kept.found(replace(kept.garbage, now=time.time()))
    assert kept.remove(run) == {"kind": "run", "id": run, "name": "a name", "files": 1, "bytes": 10}
    with pytest.raises(MlflowException, match="not found"):
        kept.client.get_run(run)
    assert kept.files(f"0/{run}/") == []
    assert kept.client.get_run(other).data.params == {"depth": "3"}
    assert len(kept.files(f"0/{other}/")) == 1
    assert run not in kept.found()


def test_a_deleted_model_goes_and_its_run_stays(kept: Stores) -> None:
    run = kept.run()
    model, other = kept.model(run=run), kept.model(run=run)
    kept.client.delete_logged_model(model)
    assert kept.found()[model] == {"kind": "model", "id": model, "name": "model", "files": 1, "bytes": 7}
    kept.remove(model)
    assert kept.files(f"0/models/{model}/") == []
    assert len(kept.files(f"0/models/{other}/")) == 1
    assert kept.client.get_logged_model(other).metrics
    assert {run, model, other} & set(kept.found()) == set()


def test_a_models_run_goes_and_the_model_that_nobody_has_deleted_stays(kept: Stores) -> None:
    run = kept.run()
    model = kept.model(run=run)
    kept.client.delete_run(run)
    kept.remove(run)
    assert model not in kept.found()
    assert kept.client.get_logged_model(model).params == {"a": "b"}


def test_a_deleted_experiment_goes_with_all_that_is_in_it(kept: Stores) -> None:
    experiment = kept.experiment("old")
    run, model = kept.run(experiment), kept.model(experiment)
    mlflow.set_experiment(experiment_id=experiment)
    with mlflow.start_span("span") as span:
        trace = span.trace_id
    mlflow.flush_trace_async_logging()
    kept.client.get_trace(trace)
    kept.write(f"{experiment}/traces/{trace}/artifacts/traces.json")
    kept.client.delete_experiment(experiment)
    found = kept.found()
    place = f"{experiment}/traces/{trace}"
    assert {run, model, experiment, place} <= set(found)
    told = [kept.garbage.remove(thing) for thing in found.values()]
    assert [it for it in told if "stays" in it] == []
    assert kept.files(f"{experiment}/") == []
    assert kept.found() == {}
    with pytest.raises(MlflowException, match="No Experiment"):
        kept.client.get_experiment(experiment)
    kept.client.create_experiment("the name is free")
    mlflow.set_experiment(experiment_id="0")


@pytest.mark.parametrize("place", ["0/{}", "0/models/m-{}", "0/traces/tr-{}", "123/{}"])
def test_artifacts_without_an_owner_go(kept: Stores, place: str) -> None:
    place = place.format(os.urandom(16).hex())
    kept.write(f"{place}/artifacts/some/file")
    size = Path(__file__).stat().st_size
    thing = {"kind": "artifacts", "id": place, "name": "", "files": 1, "bytes": size}
    assert kept.found()[place] == thing
    assert kept.remove(place) == thing
    assert kept.files(f"{place}/") == []


# What stays


def test_a_run_and_a_model_that_a_version_needs_stay(kept: Stores) -> None:
    by_run, by_path, of_model, explicit = kept.run(), kept.run(), kept.run(), kept.run()
    model = kept.model(run=of_model)
    needing = {
        by_run: kept.version("iris", f"runs:/{by_run}/some dir", by_run),
        by_path: kept.version("iris", f"mlflow-artifacts:/0/{by_path}/artifacts/some dir", by_path),
        model: kept.version("iris", f"models:/{model}", explicit),
    }
    needing[of_model] = needing[explicit] = needing[model]
    for run in (by_run, by_path, of_model, explicit):
        kept.client.delete_run(run)
    kept.client.delete_logged_model(model)
    staying = {identity: f"version {version} of iris needs it" for identity, version in needing.items()}
    assert staying.items() <= kept.staying().items()
    assert not set(staying) & set(kept.found())
    for identity in staying:
        kind = "model" if identity == model else "run"
        told = kept.garbage.remove({"kind": kind, "id": identity, "name": ""})
        assert told["stays"] == staying[identity]
    assert len(kept.files(f"0/models/{model}/")) == 1
    assert len(kept.files(f"0/{by_run}/")) == 1
    assert kept.client.get_run(by_run).info.lifecycle_stage == "deleted"


def test_a_copy_needs_the_files_of_the_version_that_it_is_a_copy_of(kept: Stores) -> None:
    run = kept.run()
    model = kept.model(run=run)
    version = kept.version("first", f"models:/{model}")
    kept.client.copy_model_version(f"models:/first/{version}", "second")
    kept.client.delete_logged_model(model)
    kept.client.delete_run(run)
    kept.client.delete_registered_model("first")
    assert kept.staying().items() >= dict.fromkeys((run, model), "version 1 of second needs it").items()
    kept.client.delete_model_version("second", "1")
    assert {run, model} <= set(kept.found())
    for identity in (run, model):
        kept.remove(identity)


def test_an_experiment_with_what_a_version_needs_stays_and_the_rest_of_it_goes(kept: Stores) -> None:
    experiment = kept.experiment("needed")
    model, run = kept.model(experiment), kept.run(experiment)
    version = kept.version("needy", f"models:/{model}")
    kept.client.delete_experiment(experiment)
    assert (
        kept.staying().items()
        >= {
            model: f"version {version} of needy needs it",
            experiment: "it has a model that stays",
        }.items()
    )
    assert run in kept.found()
    told = kept.garbage.remove({"kind": "experiment", "id": experiment, "name": ""})
    assert told["stays"] == "it has a run that stays"
    kept.client.delete_model_version("needy", version)
    for thing in kept.found().values():
        assert "stays" not in kept.garbage.remove(thing)
    assert experiment not in kept.staying()


def test_what_was_deleted_a_short_time_ago_stays_whatever_its_age(kept: Stores) -> None:
    run, model, experiment = kept.run(), kept.model(), kept.experiment("new")
    kept.client.delete_run(run)
    kept.client.delete_logged_model(model)
    kept.client.delete_experiment(experiment)
    soon = replace(kept.garbage, now=time.time() + 29 * DAY)
    assert kept.found(soon) == {}
    for kind, identity in (("run", run), ("model", model), ("experiment", experiment)):
        assert "stays" in soon.remove({"kind": kind, "id": identity, "name": ""})
        assert "stays" not in kept.remove(identity)


def test_what_becomes_needed_or_is_restored_after_it_was_shown_stays(kept: Stores) -> None:
    needed, restored, model = kept.run(), kept.run(), kept.model()
    for run in (needed, restored):
        kept.client.delete_run(run)
    kept.client.delete_logged_model(model)
    left = f"0/{os.urandom(16).hex()}"
    kept.write(f"{left}/artifacts/model/MLmodel")
    shown, other = kept.found(), kept.run()
    for number, path in enumerate(
        (f"{needed}/artifacts", f"models/{model}/artifacts", f"{left[2:]}/artifacts"), 1
    ):
        # No client may register what is deleted, but one that was there before may be moved.
        assert kept.version("late", f"runs:/{other}/some dir", other) == str(number)
        kept.sql(
            "UPDATE model_versions SET source = :source, storage_location = NULL, run_id = NULL"
            " WHERE name = 'late' AND version = :version",
            source=f"mlflow-artifacts:/0/{path}/model",
            version=number,
        )
    kept.client.restore_run(restored)
    assert kept.garbage.remove(shown[needed])["stays"] == "version 1 of late needs it"
    assert kept.garbage.remove(shown[model])["stays"] == "version 2 of late needs it"
    assert kept.garbage.remove(shown[left])["stays"] == "version 3 of late needs it"
    assert kept.garbage.remove(shown[restored])["stays"] == "it was restored or removed meanwhile"
    assert kept.staying()[left] == "version 3 of late needs it"
    assert len(kept.files(f"0/models/{model}/")) == len(kept.files(f"0/{restored}/")) == 1
    kept.client.delete_registered_model("late")
    for thing in kept.found().values():
        kept.garbage.remove(thing)


def test_nobody_restores_a_run_while_it_is_removed(kept: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    run = kept.run()
    kept.client.delete_run(run)
    failed: list[str] = []

    def restore() -> None:
        try:
            kept.client.restore_run(run)
        except MlflowException as error:
            failed.append(str(error))

    restoring = threading.Thread(target=restore)
    removing = type(kept.garbage.rows).remove

    def remove(*arguments: Any) -> None:  # noqa: ANN401
        restoring.start()
        restoring.join(1)  # it waits for the database
        assert restoring.is_alive()
        removing(*arguments)

    monkeypatch.setattr(type(kept.garbage.rows), "remove", remove)
    assert "stays" not in kept.remove(run)
    restoring.join()
    assert failed
    assert kept.files(f"0/{run}/") == []


def test_what_is_not_known_is_left_alone(kept: Stores) -> None:
    identity = os.urandom(16).hex()
    names = [
        f"{identity}/artifacts/of no experiment",
        f"0/{identity}/other/file",
        f"0/{identity[:-1]}/artifacts/file",
        f"0/models/{identity}/artifacts/file",
        f"0/other/tr-{identity}/artifacts/file",
        f"workspaces/one/0/{identity}/artifacts/file",
        "mine/file",
        "file",
    ]
    for name in names:
        kept.write(name)
    assert not [place for place in kept.found() if identity[:-1] in place or "file" in place]
    assert set(names) <= set(kept.files(""))
    for place in ("", "0", "..", f"0/../0/{identity}", f"mine/0/{identity}", f"0/{identity}/other"):
        told = kept.garbage.remove({"kind": "artifacts", "id": place, "name": ""})
        assert told["stays"] == "it is not the directory of a run, a model or a trace"
    kept.garbage.kept.remove(names)


def test_artifacts_that_were_there_before_the_database_or_are_new_stay(kept: Stores) -> None:
    place = f"0/{os.urandom(16).hex()}"
    kept.write(f"{place}/artifacts/file")
    assert place not in kept.found(replace(kept.garbage, now=time.time()))
    # Even if what was deleted just now is to go.
    assert place not in kept.found(replace(kept.garbage, now=time.time(), days=0))
    moved = "UPDATE experiments SET creation_time = creation_time + :ms"
    kept.sql(moved, ms=DAY * 1000)
    try:
        assert place not in kept.found()
        told = kept.garbage.remove({"kind": "artifacts", "id": place, "name": ""})
        assert told["stays"] == "it was restored or removed meanwhile"
    finally:
        kept.sql(moved, ms=-DAY * 1000)
    kept.remove(place)


def test_a_run_stays_whose_artifacts_are_elsewhere(kept: Stores, tmp_path: Path) -> None:
    for location in (str(tmp_path / "here"), "mlflow-artifacts:/a/../b"):
        experiment = str(kept.client.create_experiment(f"in {location}", location))
        run = str(kept.client.create_run(experiment).info.run_id)
        kept.client.delete_run(run)
        assert kept.staying()[run] == f"its artifacts are elsewhere, at {location}/{run}/artifacts"
    experiment = str(kept.client.create_experiment("our own place", "mlflow-artifacts:/team/a"))
    run = kept.run(experiment)
    kept.client.delete_run(run)
    assert kept.remove(run)["bytes"] == 10
    assert kept.files("team/") == []


def test_the_default_experiment_stays(kept: Stores) -> None:
    kept.client.delete_experiment("0")
    try:
        assert "0" not in kept.found()
        told = kept.garbage.remove({"kind": "experiment", "id": "0", "name": "Default"})
        assert "stays" in told
    finally:
        kept.client.restore_experiment("0")


def test_the_registered_versions_are_told_with_their_aliases(kept: Stores) -> None:
    run = kept.run()
    first, second = (kept.version("told", f"runs:/{run}/x", run) for _ in range(2))
    kept.client.set_registered_model_alias("told", "champion", first)
    kept.client.delete_model_version("told", second)
    told = [it for it in kept.garbage.find() if it["name"] == "told"]
    assert told == [{"kind": "version", "id": first, "name": "told", "aliases": ["champion"]}]


# The program


def asked(config: Config, *arguments: str, given: str = "") -> tuple[int, list[dict[str, Any]]]:
    with here(config) as at_stores:
        program = at_stores("garbage.py", *arguments)
        done = subprocess.run(
            program.command, env=program.environment, input=given, capture_output=True, text=True
        )
    assert "Traceback" not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_program_shows_and_removes_what_it_is_told(kept: Stores) -> None:
    run, other = kept.run(name="a"), kept.run(name="b")
    for it in (run, other):
        kept.client.delete_run(it)
    status, shown = asked(kept.config, "0")
    things = {it["id"]: it for it in shown}
    assert status == 0
    assert {run, other} <= set(things)
    given = json.dumps(things[run]) + "\n"
    with store_lock.reading():
        refused = asked(kept.config, "0", "--remove", given=given)
    assert refused == (
        1,
        [{"error": "another ./scripts/backup, restore or gc is running; wait until it ends"}],
    )
    assert asked(kept.config, "0", "--remove", given=given) == (0, [things[run]])
    assert kept.client.get_run(other).info.lifecycle_stage == "deleted"
    assert run not in {it["id"] for it in asked(kept.config, "0")[1]}


def test_where_there_is_no_database_yet_there_is_nothing_to_remove(tmp_path: Path) -> None:
    config = own_config(tmp_path / "home")
    prepare_home(config)
    assert asked(config, "0") == (0, [])
    assert asked(config, "0", "--remove", given='{"kind": "run"}\n') == (0, [])
    assert not (config.home / "mlflow.db").exists()


def test_a_database_that_can_not_be_used_is_told(tmp_path: Path) -> None:
    config = own_config(tmp_path / "home", {"BACKEND_STORE_URI": "postgresql://a:b@127.0.0.1:1/c"})
    status, ((told),) = asked(config, "0")
    assert status == 1
    assert "the database server 127.0.0.1:1 does not answer" in told["error"]
