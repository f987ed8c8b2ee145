"""What the services are started with: secrets, addresses, and which of the user's settings they keep."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pageflip.local_stack import config, processes, supervisor
from pageflip.local_stack.config import Places, Program


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    for name in [name for name in os.environ if name.startswith(("PAGEFLIP_", "AIRFLOW", "MLFLOW"))]:
        monkeypatch.delenv(name)
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return config.find_places()


def test_services_get_every_address_in_full(where, tmp_path, monkeypatch):
    for name in ("REMOTE", "STORE", "UPLOADS", "RESULTS"):
        monkeypatch.setenv(f"PAGEFLIP_{name}", name.lower())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    found = config.environment(where, 8080, None, {})
    for name in ("REMOTE", "STORE", "UPLOADS", "RESULTS"):
        assert found[f"PAGEFLIP_{name}"] == str(tmp_path / name.lower())
    assert found["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/runs.db"
    monkeypatch.setenv("PAGEFLIP_REMOTE", "s3://bucket/remote")
    monkeypatch.delenv("PAGEFLIP_UPLOADS")
    found = config.environment(where, 8080, None, {})
    assert found["PAGEFLIP_REMOTE"] == "s3://bucket/remote"
    assert "PAGEFLIP_UPLOADS" not in found


def test_the_log_in_is_ours_and_other_settings_of_airflow_are_the_users(where, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "someone:viewer")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "7")
    where.password_file.parent.mkdir(parents=True)
    where.password_file.write_text(json.dumps({"someone": "theirs"}), encoding="utf-8")
    found = config.environment(where, 8080, None, {})
    assert found["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:admin"
    assert found["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] == str(where.password_file)
    assert found["AIRFLOW__CORE__PARALLELISM"] == "7"
    assert config.password(where) == config.load_keys(where)["password"]


def test_addresses_follow_the_environment_and_hide_passwords(where, monkeypatch):
    assert supervisor.addresses() == ("http://127.0.0.1:8080", "http://127.0.0.1:5000")
    monkeypatch.setenv("PAGEFLIP_AIRFLOW_PORT", "8081")
    monkeypatch.setenv("PAGEFLIP_MLFLOW_PORT", "5001")
    assert supervisor.addresses() == ("http://127.0.0.1:8081", "http://127.0.0.1:5001")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@host:5000")
    assert supervisor.addresses()[1] == "http://user:***@host:5000"


def test_a_program_that_never_starts_is_found_through_supervisord(where):
    programs = [Program("sleeps", ["sleep", "600"], 10), Program("fails", ["false"], 20)]
    config.render(where, programs, supervisor._free_port())
    assert where.config.stat().st_mode & 0o077 == 0  # it holds the password of the interface
    assert supervisor._find_failed_program(where) is None  # nobody answers
    command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(where.config)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while (failed := supervisor._find_failed_program(where)) is None and time.monotonic() < deadline:
        time.sleep(0.2)
    ended = processes.end_processes(where, lambda line: None)
    assert failed == "fails"
    assert ended >= 2
