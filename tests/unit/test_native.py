from pathlib import Path

from stack.native import part_environment


def test_a_part_gets_its_own_settings_and_not_those_of_the_users_shell(tmp_path: Path) -> None:
    file = tmp_path / "server.env"
    file.write_text("# why\nMLFLOW_WORKERS=1\n")
    shell = {"PATH": "/bin", "MLFLOW_PORT": "1", "UVICORN_PORT": "2", "WEB_CONCURRENCY": "9", "LANG": "C"}
    assert part_environment(shell, file, MLFLOW_HOST="127.0.0.1") == {
        "PATH": "/bin",
        "LANG": "C",
        "MLFLOW_WORKERS": "1",
        "MLFLOW_HOST": "127.0.0.1",
    }
