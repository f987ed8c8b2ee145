"""The stages of a run with everything that travels between them on a real S3 server (see conftest.py)."""

import os
import uuid
from pathlib import Path

import pytest

from pageflip.base import storage
from pipeline.conftest import call, make_project

pytestmark = pytest.mark.usefixtures("s3_server")

STAGES = ("prepare", "validate", "split", "train@cnn", "evaluate@cnn")


@pytest.fixture
def place() -> str:
    return f"s3://{os.environ['PAGEFLIP_TEST_BUCKET']}/{uuid.uuid4().hex}"


def _on_s3(place: str) -> dict[str, str]:
    addresses = {
        "PAGEFLIP_REMOTE": storage.join(place, "remote"),
        "PAGEFLIP_STORE": storage.join(place, "runs"),
    }
    return addresses | {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def test_a_run_goes_through_s3_from_machine_to_machine(place: str, tmp_path: Path) -> None:
    project, variables = make_project(tmp_path / "project"), _on_s3(place)
    call(project, "dvc", "remote", "add", "--quiet", "bucket", variables["PAGEFLIP_REMOTE"])
    call(project, "dvc", "push", "--quiet", "--remote", "bucket", **variables)
    command = ("python", "-m", "tasks.run_stage")
    for stage in STAGES:  # each with an empty cache: a machine that has run nothing before
        machine = {"PAGEFLIP_CACHE": str(tmp_path / f"cache-{stage}")}
        assert f"{stage}: computed" in call(project, *command, stage, "--run", "one", **variables, **machine).stdout
    locks = [file.name for file in storage.list_files(storage.join(place, "runs/one/lock"))]
    assert locks == sorted(f"{stage}.json" for stage in STAGES)
    assert storage.list_files(storage.join(place, "runs/checkpoints")) == []  # finished, and so removed
    again = call(project, *command, "train@cnn", "--run", "two", expect=78, **variables).stderr
    assert "which has not run in" in again
    for stage in STAGES[:4]:  # another run of the same inputs, on yet another machine, takes the results over
        machine = {"PAGEFLIP_CACHE": str(tmp_path / "other-cache")}
        restored = call(project, *command, stage, "--run", "two", **variables, **machine).stdout
        assert f"{stage}: unchanged, restored" in restored
