"""The kustomize base, as kubectl builds it: right by Kubernetes' schemas, and by checks that can fail."""

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from stack.config import CHECKOUT
from stack.errors import StackError
from stack.export.directory import write_whole
from stack.export.kubernetes import kubernetes_files
from stack.export.service import read_service
from stack.export.values import Wanted, name_in_cluster
from stack.export.version import Reference, Version
from tests.manifests import (
    VERSIONS,
    Manifest,
    kustomized,
    of_kind,
    problems,
    quantity,
    validate,
    with_deployment,
)
from tests.unit.exported import VERSION, files_of

WANTED = {"plain": Wanted(), "monitor": Wanted(service_monitor=True), "kserve": Wanted(kserve=True)}
SECRET = "iris-model-env"  # noqa: S105


def built(
    directory: Path,
    wanted: Wanted = WANTED["plain"],
    version: Version = VERSION,
    memory: int = 0,
    **changes: Any,  # noqa: ANN401
) -> list[Manifest]:
    """Return what kubectl makes of an export."""
    write_whole(directory, kubernetes_files(version, read_service(files_of(**changes)), memory, wanted))
    return kustomized(directory)


@pytest.fixture(scope="module", params=WANTED)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return built(tmp_path_factory.mktemp("base") / "kubernetes", WANTED[request.param])


@pytest.fixture(scope="module")
def plain_base(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return built(tmp_path_factory.mktemp("base") / "kubernetes", WANTED["monitor"])


def container(objects: list[Manifest]) -> Manifest:
    pod = of_kind(with_deployment(objects), "Deployment")["spec"]["template"]["spec"]
    (found,) = pod["containers"]
    return dict(found)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_of_kubernetes_knows_all_of_it(base: list[Manifest], version: str) -> None:
    validate(base, version)


def test_nothing_is_wrong_that_the_schemas_do_not_see(base: list[Manifest]) -> None:
    assert problems(base) == []


def test_each_object_has_a_file_of_its_own(tmp_path: Path) -> None:
    built(tmp_path / "base", WANTED["monitor"])
    files = sorted((tmp_path / "base").glob("*.yaml"))
    kinds = [yaml.safe_load(file.read_text())["kind"] for file in files]
    assert sorted(kinds) == sorted(
        [
            *("Deployment", "HorizontalPodAutoscaler", "Kustomization", "NetworkPolicy"),
            *("PodDisruptionBudget", "Service", "ServiceMonitor"),
        ]
    )


def test_it_says_which_version_it_is_and_what_its_replay_found(base: list[Manifest]) -> None:
    (workload,) = (it for it in base if it["kind"] in ("Deployment", "InferenceService"))
    expected = {
        "pyfunc-stack/model": "iris",
        "pyfunc-stack/version": "3",
        "pyfunc-stack/run-id": VERSION.run_id,
        "pyfunc-stack/image-id": "sha256:one",
        "pyfunc-stack/replay": VERSION.replay,
    }
    assert expected.items() <= workload["metadata"]["annotations"].items()
    pods = of_kind(with_deployment(base), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert pods["app.kubernetes.io/version"] == "3"
    assert pods["pyfunc-stack/run-id"] == VERSION.run_id


def test_the_server_runs_as_compose_runs_it(base: list[Manifest]) -> None:
    found = container(base)
    environment = {of["name"]: of["value"] for of in found["env"] if "value" in of}
    command = found["command"]
    if command[0] == "env":  # for KServe
        environment |= [command[1].partition("=")[::2]]
        command = command[2:]
    assert command == ["python", "-m", "model_server"]
    assert "args" not in found
    expected = files_of()["services"]["serving"]["environment"]
    own = {name: value for name, value in expected.items() if value and name != "SERVER_SERVICE_NAMES"}
    del own["SERVER_WORKERS"]
    assert own.items() <= environment.items()
    assert of_kind(base, "ConfigMap")["data"] == {"SERVER_WORKERS": "2"}
    assert environment["SERVER_SERVICE_NAMES"].startswith("iris,iris.$(SERVER_NAMESPACE),")


def test_values_reach_the_server_as_they_are(tmp_path: Path) -> None:
    origins, odd = "https://a.example.com,http://b:3000", 'a: "b" $$(SERVER_PORT) # ü\\'
    made = built(
        tmp_path / "base",
        environment={"SERVER_CORS_ORIGINS": origins, "PYTHONPATH": odd, "SERVER_WORKERS": ""},
        command=["--flag=$$(HOME)", "null"],
    )
    assert of_kind(made, "ConfigMap")["data"] == {"SERVER_CORS_ORIGINS": origins}
    # Kubernetes makes one $ of two.
    assert container(made)["args"] == ["--flag=$$(HOME)", "null"]
    environment = {of["name"]: of.get("value") for of in container(made)["env"]}
    assert environment["PYTHONPATH"] == odd
    assert problems(made) == []


def test_a_command_of_several_lines_is_kept_and_what_kustomize_can_not_write_is_refused(
    tmp_path: Path,
) -> None:
    odd = "\x01\t\r\nü😀"
    assert container(built(tmp_path / "base", command=[odd]))["args"] == [odd]
    for character in "\x7f\x9f\u2028\ufeff\uffff\ud800":
        with pytest.raises(StackError, match="a control character can't be exported"):
            built(tmp_path / "none", command=[f"a{character}b"])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("wanted", WANTED)
def test_a_server_without_a_path_of_modules_is_exported_too(wanted: str, tmp_path: Path) -> None:
    made = built(tmp_path / "base", WANTED[wanted], environment={"PYTHONPATH": None})
    assert problems(made) == []
    assert container(made)["command"] == ["python", "-m", "model_server"]


@pytest.mark.parametrize(("may_change", "policy"), [(True, "Always"), (False, "IfNotPresent")])
def test_a_tag_that_may_name_another_image_is_always_asked_for(
    may_change: bool, policy: str, tmp_path: Path
) -> None:
    image = Reference("me/iris:blue", "me/iris:blue", may_change=may_change)
    assert (
        container(built(tmp_path / "base", version=replace(VERSION, image=image)))["imagePullPolicy"]
        == policy
    )


@pytest.mark.parametrize(("timeout", "failures"), [("", 10), ("5", 5), ("61", 11), ("600", 64), ("soon", 10)])
def test_a_model_may_hold_pythons_lock_as_long_as_the_server_lets_it(
    timeout: str, failures: int, tmp_path: Path
) -> None:
    probe = container(built(tmp_path / "base", environment={"SERVER_TIMEOUT": timeout}))["livenessProbe"]
    assert (probe["periodSeconds"], probe["failureThreshold"]) == (10, failures)


def test_variables_of_the_model_come_from_a_secret_and_no_value_is_written(tmp_path: Path) -> None:
    made = built(tmp_path / "base", environment={"API_KEY": "s3cret", "NO": "s3cret"})
    validate(made, VERSIONS[0])
    assert problems(made) == [f"no Secret {SECRET}"] * 2
    assert problems(made, secrets=(SECRET,)) == []
    assert not [file for file in (tmp_path / "base").iterdir() if "s3cret" in file.read_text()]
    names = [of["name"] for of in container(made)["env"] if "secretKeyRef" in of.get("valueFrom", {})]
    assert names == ["API_KEY", "NO"]


@pytest.mark.parametrize(
    ("changes", "memory", "cpu", "bytes_"),
    [
        ({"environment": {"SERVER_WORKERS": ""}}, 0, "2", 1024**3),
        ({"environment": {"SERVER_WORKERS": "3"}}, 0, "3", 1024**3),
        ({"environment": {"SERVER_WORKERS": "many"}}, 0, "2", 1024**3),  # the server refuses it
        ({}, 3 * 1024**3 + 1, "2", 6 * 1024**3 + 1024**2),
        ({"mem_limit": str(512 * 1024**2), "cpus": 1.5}, 3 * 1024**3, "1500m", 512 * 1024**2),
    ],
)
def test_the_limits_are_composes_or_fit_what_the_server_holds(
    changes: dict[str, Any], memory: int, cpu: str, bytes_: int, tmp_path: Path
) -> None:
    made = built(tmp_path / "base", memory=memory, **changes)
    limits = container(made)["resources"]["limits"]
    assert (limits["cpu"], quantity(limits["memory"])) == (cpu, bytes_)
    assert problems(made) == []


def test_a_size_of_tmp_is_kept_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    made = built(tmp_path / "base", tmpfs=["/tmp:size=64m", "/var/run"], volumes=[{"type": "bind"}])  # noqa: S108
    validate(made, VERSIONS[-1])
    assert problems(made) == []
    volumes = of_kind(made, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert volumes == [
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        {"name": "var-run", "emptyDir": {"medium": "Memory"}},
    ]
    assert "also set volumes on serving" in (tmp_path / "base" / "kustomization.yaml").read_text()


def test_a_model_in_the_open_network_reaches_others(tmp_path: Path) -> None:
    egress = {
        name: of_kind(built(tmp_path / name, networks={name: None}), "NetworkPolicy")["spec"]["egress"]
        for name in ("serving-closed", "serving-open", "other")
    }
    assert egress == {"serving-closed": [], "serving-open": [{}], "other": []}


@pytest.mark.parametrize(
    ("model", "name"), [("iris", "iris"), ("my.own__model", "my-own-model"), ("3d", "model-3d"), ("no", "no")]
)
def test_every_name_of_a_model_becomes_one_of_a_cluster(model: str, name: str, tmp_path: Path) -> None:
    made = built(tmp_path / "base", version=replace(VERSION, model=model, run_id=""))
    validate(made, VERSIONS[-1])
    assert problems(made) == []
    assert {it["metadata"]["name"] for it in made if it["kind"] != "ConfigMap"} == {name}
    assert of_kind(made, "Deployment")["metadata"]["annotations"]["pyfunc-stack/model"] == model


def test_too_long_a_name_is_refused() -> None:
    assert name_in_cluster("m" * 50) == "m" * 50
    with pytest.raises(StackError, match="at most 50 characters"):
        name_in_cluster("m" * 51)


def test_a_changed_setting_starts_new_pods(tmp_path: Path) -> None:
    names = [
        of_kind(built(tmp_path / workers, wanted, environment={"SERVER_WORKERS": workers}), "ConfigMap")
        for workers, wanted in (("1", WANTED["plain"]), ("2", WANTED["plain"]))
    ]
    assert names[0]["metadata"]["name"] != names[1]["metadata"]["name"]


def test_an_overlay_can_change_a_setting(tmp_path: Path) -> None:
    built(tmp_path / "base")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kustomization.yaml").write_text(
        "resources: [../base]\nnamespace: models\nimages:\n"
        "  - { name: registry.example.com/team/iris, newName: elsewhere.example.com/iris }\n"
        "configMapGenerator:\n  - { name: iris-settings, behavior: merge, literals: [SERVER_WORKERS=4] }\n"
    )
    made = kustomized(tmp_path / "mine")
    assert problems(made) == []
    assert of_kind(made, "ConfigMap")["data"] == {"SERVER_WORKERS": "4"}
    assert container(made)["image"] == "elsewhere.example.com/iris:3"


def test_the_overlay_that_the_docs_show_can_be_built(tmp_path: Path) -> None:
    built(tmp_path / "kubernetes")
    shown = re.search(
        r"```yaml\n(# production/.*?)```", (CHECKOUT / "docs/kubernetes.md").read_text(), re.DOTALL
    )
    assert shown
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "kustomization.yaml").write_text(shown[1])
    made = kustomized(tmp_path / "production")
    assert problems(made) == []
    settings = of_kind(made, "ConfigMap")["data"]
    assert settings["SERVER_ALLOWED_HOSTS"] == "models.example.com,www.example.com"
    assert container(made)["resources"]["limits"]["cpu"] == settings["SERVER_WORKERS"]


Break = Callable[[Manifest, Manifest, list[Manifest]], object]

# Each breaks one thing: it gets the Deployment's pod, its container, and all objects.
BROKEN: dict[str, tuple[str, Break]] = {
    "an unknown kind": ("kind v1 Pod", lambda _, __, all_: all_.append({"apiVersion": "v1", "kind": "Pod"})),
    "an old api": (
        "kind apps/v1beta1 Deployment",
        lambda _, __, all_: dep(all_).update(apiVersion="apps/v1beta1"),
    ),
    "the same twice": ("two of", lambda _, __, all_: all_.append(copy.deepcopy(of_kind(all_, "ConfigMap")))),
    "a bad name": ("name 9", lambda _, __, all_: of_kind(all_, "Service")["metadata"].update(name="9")),
    "a bad label": ("label a b", lambda _, __, all_: dep(all_)["metadata"]["labels"].update(x="a b")),
    "its selector": ("selector of Deployment", lambda _, __, all_: selects(dep(all_)["spec"]["selector"])),
    "Service": (
        "selector of Service",
        lambda _, __, all_: of_kind(all_, "Service")["spec"].update(selector={"a": "b"}),
    ),
    "Service by the name alone": (
        "selector of Service",
        lambda _, __, all_: of_kind(all_, "Service")["spec"].update(
            selector={"app.kubernetes.io/name": "iris"}
        ),
    ),
    "budget": (
        "selector of PodDisruptionBudget",
        lambda _, __, all_: selects(of_kind(all_, "PodDisruptionBudget")["spec"]["selector"]),
    ),
    "policy": (
        "selector of NetworkPolicy",
        lambda _, __, all_: selects(of_kind(all_, "NetworkPolicy")["spec"]["podSelector"]),
    ),
    "spread": (
        "selector of spread 1",
        lambda pod, _, __: selects(pod["topologySpreadConstraints"][1]["labelSelector"]),
    ),
    "the autoscaler": (
        "the autoscaler scales something else",
        lambda _, __, all_: of_kind(all_, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(
            name="x"
        ),
    ),
    "the monitor": (
        "the ServiceMonitor selects another Service",
        lambda _, __, all_: selects(of_kind(all_, "ServiceMonitor")["spec"]["selector"]),
    ),
    "the monitor's port": (
        "port of ServiceMonitor",
        lambda _, __, all_: of_kind(all_, "ServiceMonitor")["spec"]["endpoints"][0].update(port="x"),
    ),
    "a probe's port": (
        "port of livenessProbe",
        lambda _, one, __: one["livenessProbe"]["httpGet"].update(port="htpp"),
    ),
    "no startup probe": ("no startupProbe", lambda _, one, __: one.pop("startupProbe")),
    "an impatient probe": (
        "a model that computes is killed",
        lambda _, one, __: one["livenessProbe"].update(failureThreshold=9),
    ),
    "the Service's port": (
        "port of Service http",
        lambda _, __, all_: of_kind(all_, "Service")["spec"]["ports"][0].update(targetPort="x"),
    ),
    "the policy's port": (
        "port of NetworkPolicy",
        lambda _, __, all_: of_kind(all_, "NetworkPolicy")["spec"]["ingress"][0]["ports"][0].update(port=81),
    ),
    "another port": (
        "the server listens elsewhere",
        lambda _, one, __: one["ports"][0].update(containerPort=9),
    ),
    "no settings": ("no ConfigMap", lambda _, one, __: one["envFrom"][0]["configMapRef"].update(name="x")),
    "a variable twice": (
        "variable SERVER_WORKERS is there twice",
        lambda _, one, __: one["env"].append({"name": "SERVER_WORKERS", "value": "1"}),
    ),
    "an unknown variable": (
        "variable A names NOT_THERE",
        lambda _, one, __: one["env"].append({"name": "A", "value": "$(NOT_THERE)"}),
    ),
    "a volume that nothing mounts": ("volume tmp", lambda _, one, __: one.pop("volumeMounts")),
    "root": ("it may be root", lambda pod, _, __: pod["securityContext"].update(runAsUser=0)),
    "root of the container": (
        "it may be root",
        lambda _, one, __: one["securityContext"].update(runAsUser=0),
    ),
    "any user": ("it may be root", lambda pod, _, __: pod["securityContext"].pop("runAsNonRoot")),
    "seccomp": ("seccomp", lambda pod, _, __: pod["securityContext"].pop("seccompProfile")),
    "privileged": ("privileges", lambda _, one, __: one["securityContext"].update(privileged=True)),
    "escalation": ("privileges", lambda _, one, __: one["securityContext"].pop("allowPrivilegeEscalation")),
    "capabilities": (
        "capabilities",
        lambda _, one, __: one["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    ),
    "a root that is written": (
        "it writes to its root",
        lambda _, one, __: one["securityContext"].update(readOnlyRootFilesystem=False),
    ),
    "a token": ("it has a token", lambda pod, _, __: pod.pop("automountServiceAccountToken")),
    "links": ("it has variables of other Services", lambda pod, _, __: pod.pop("enableServiceLinks")),
    "the host's network": ("it is in the host's namespaces", lambda pod, _, __: pod.update(hostNetwork=True)),
    "a bad quantity": (
        "quantity of memory",
        lambda _, one, __: one["resources"]["limits"].update(memory="1GB"),
    ),
    "more than allowed": (
        "more cpu requested than allowed",
        lambda _, one, __: one["resources"]["requests"].update(cpu="2001m"),
    ),
    "too little grace": (
        "it is killed before it has drained",
        lambda pod, _, __: pod.update(terminationGracePeriodSeconds=15),
    ),
    "pods that go first": (
        "a rollout takes pods away",
        lambda _, __, all_: dep(all_)["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=1),
    ),
    "no room for a new pod": (
        "a rollout can't start",
        lambda _, __, all_: dep(all_)["spec"]["strategy"]["rollingUpdate"].update(maxSurge=0),
    ),
}


@pytest.mark.parametrize(
    ("expected", "break_it"),
    [
        (
            "no CPU in this mode",
            lambda it: it["metadata"]["annotations"].pop("serving.kserve.io/autoscalerClass"),
        ),
        ("does not know the container", lambda it: it["spec"]["predictor"]["containers"][0].update(name="x")),
        (
            "refuses PYTHONPATH",
            lambda it: it["spec"]["predictor"]["containers"][0]["env"].append(
                {"name": "PYTHONPATH", "value": "x"}
            ),
        ),
    ],
    ids=["mode", "container", "PYTHONPATH"],
)
def test_what_kserve_would_refuse_is_found(
    expected: str, break_it: Callable[[Manifest], object], tmp_path: Path
) -> None:
    objects = built(tmp_path / "base", WANTED["kserve"])
    break_it(of_kind(objects, "InferenceService"))
    assert expected in " ".join(problems(objects))


def dep(objects: list[Manifest]) -> Manifest:
    return of_kind(objects, "Deployment")


def selects(selector: Manifest) -> None:
    """Let a selector select something else."""
    selector["matchLabels"] = {"app.kubernetes.io/name": "other"}


@pytest.mark.parametrize("name", BROKEN)
def test_each_check_finds_what_is_broken(name: str, plain_base: list[Manifest]) -> None:
    expected, break_it = BROKEN[name]
    objects = copy.deepcopy(plain_base)
    pod = dep(objects)["spec"]["template"]["spec"]
    break_it(pod, pod["containers"][0], objects)
    assert [found for found in problems(objects) if found.startswith(expected)]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda pod: pod.update(restartPolcy="Always"),
        lambda pod: pod.update(terminationGracePeriodSeconds="soon"),
        lambda pod: pod["containers"][0]["livenessProbe"].update(timeoutSecs=1),
        lambda pod: pod.update(containers=None),
    ],
    ids=["unknown field", "wrong type", "unknown field of a probe", "nothing to run"],
)
@pytest.mark.parametrize("wanted", ["plain", "kserve"])
def test_the_schemas_are_strict(wanted: str, break_it: Callable[[Manifest], object], tmp_path: Path) -> None:
    objects = built(tmp_path / "base", WANTED[wanted])
    kserve = [it["spec"]["predictor"] for it in objects if it["kind"] == "InferenceService"]
    break_it(kserve[0] if kserve else dep(objects)["spec"]["template"]["spec"])
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(objects, VERSIONS[0])
