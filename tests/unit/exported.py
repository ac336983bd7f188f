"""What a version is exported from, in the tests."""

from typing import Any

from stack.export.version import Reference, Version

VERSION = Version(
    model="iris",
    number="3",
    run_id="f" * 32,
    replay="passed: 30 answers equal, 10 wrong requests refused",
    image_id="sha256:one",
    platform="linux/amd64",
    image=Reference("registry.example.com/team/iris:3", "registry.example.com/team/iris:3"),
)


def files_of(environment: dict[str, str | None] | None = None, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what `docker compose config --format json` prints of `serving`, with changes."""
    given = {
        "IMAGE_ID": "sha256:one",
        "MODEL_NAME": "iris",
        "MODEL_VERSION": "3",
        "PYTHONPATH": "/opt/pyfunc-stack",
        "SERVER_ALLOWED_HOSTS": "",
        "SERVER_CORS_ORIGINS": "",
        "SERVER_HOST": "0.0.0.0",  # noqa: S104
        "SERVER_PORT": "8080",
        "SERVER_SERVICE_NAMES": "serving,pyfunc-stack-trial",
        "SERVER_STRICT": "",
        "SERVER_WORKERS": "2",
        "__pyfunc_model_path__": "/opt/ml/model",
    }
    serving = {
        "cap_drop": ["ALL"],
        "command": None,
        "depends_on": {"tracking": {"condition": "service_healthy", "required": True}},
        "entrypoint": ["python", "-m", "model_server"],
        "environment": given | (environment or {}),
        "healthcheck": {"test": ["CMD", "true"]},
        "image": "pyfunc-stack/iris:3",
        "logging": {"driver": "local"},
        "networks": {"serving-closed": None},
        "pids_limit": 4096,
        "ports": [{"target": 8080, "published": "5002"}],
        "pull_policy": "never",
        "read_only": True,
        "restart": "unless-stopped",
        "scale": 0,
        "security_opt": ["no-new-privileges:true"],
        "stop_grace_period": "15s",
        "tmpfs": ["/tmp"],  # noqa: S108
        "user": "10001:10001",
    }
    return {"services": {"serving": serving | changes}}
