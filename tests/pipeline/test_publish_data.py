"""`pageflip publish-data` in a whole small project, and a run of a stage that asks for what it published."""

import json

import pytest

from frames_factory import make_raw
from pipeline.conftest import call, make_project


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path / "project", clips=2, frames=1)


def raw_version(folder, run: str) -> str:
    inputs = json.loads((folder / ".pageflip" / "runs" / run / "inputs.json").read_text())
    return inputs["raw_dvc"].split("md5: ")[1].split()[0]


def test_a_version_is_published_without_airflow_and_read_where_the_project_has_none(project):
    said = call(project, "python", "-m", "pageflip", "publish-data").stdout.splitlines()
    first = said[0].split()[3]
    assert said[1].startswith("Airflow is not up here")
    make_raw(project / "data" / "raw", clips=3, frames=1)
    second = call(project, "python", "-m", "pageflip", "publish-data").stdout.split()[3]
    assert second != first
    (project / "data" / "raw.dvc").unlink()
    stage = ["python", "-m", "tasks.run_stage", "prepare", "--run"]
    call(project, *stage, "newest", "--data-version", "published")
    call(project, *stage, "older", "--data-version", first)
    assert (raw_version(project, "newest"), raw_version(project, "older")) == (second, first)
    wrong = call(project, *stage, "wrong", "--data-version", "0" * 32, expect=78)
    assert "there is no published data version" in wrong.stderr


def test_an_airflow_that_does_not_answer_is_reported_in_a_line_and_the_version_stands(project):
    done = call(project, "python", "-m", "pageflip", "publish-data", PAGEFLIP_AIRFLOW_URL="http://127.0.0.1:9")
    assert "Airflow could not be notified: Airflow at http://127.0.0.1:9 does not answer" in done.stdout
    assert (project / ".pageflip" / "runs" / ".data" / "newest.dvc").is_file()


def test_a_run_trains_with_its_overrides_and_shares_what_they_leave_alone(project):
    stage = ["python", "-m", "tasks.run_stage", "prepare", "--run"]
    call(project, *stage, "plain")
    overridden = call(project, *stage, "overridden", "--set", "train.seed=99")
    assert "unchanged, restored" in overridden.stdout  # its inputs are the same
    other = call(project, *stage, "other", "--set", "prepare.width=36")
    assert "computed" in other.stdout
    assert "train.sed" in call(project, *stage, "wrong", "--set", "train.sed=9", expect=78).stderr
