"""The job that scores new uploads with the champion, step by step."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pageflip.base.errors import ConfigError, UnavailableError
from pageflip.params.load import load_section
from pageflip.params.scoring import ScoreUploads, Stills
from pageflip.registry.loading import load_predictor
from pageflip.scoring import plan as scoring_plan
from uploads_factory import BRIGHT, DARK, picture, sequence_model, snapshot, video

PARAMS = Path(__file__).parents[3] / "params.yaml"


@pytest.fixture(scope="module")
def home(write_model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a real registry in which the brightness model is champion."""
    folder = tmp_path_factory.mktemp("home")
    package = folder / "package"
    package.mkdir()
    write_model(package / "model.onnx")
    (package / "card.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("PAGEFLIP_", "MLFLOW_"))]:
            patch.delenv(name)
        patch.setenv("PAGEFLIP_HOME", str(folder))
        from pageflip.registry import promotion, registration, tracking

        run = tracking.TrainingRun(key="key", name="name", params={}, tags={})
        run.finish(weights_sha256="weights", folder=package)
        version = registration.register_version(
            "pageflip", package, weights_sha256="weights", tags={}, lock="", pip_requirements=["numpy"]
        )
        promotion.promote_version("pageflip", version, why="test")
        yield folder


def _plan(run: str, store: Path, **changes: float) -> dict[str, Any]:
    """Plan with the project's own parameters; keywords change the section `score_uploads`."""
    params = load_section(PARAMS, "score_uploads", ScoreUploads).model_copy(update=changes)
    model = {"model": "champion", "name": "pageflip"}
    return scoring_plan.make_plan(run, str(store), **model, params=params, load_predictor=load_predictor)


def _run(run: str, store: Path) -> dict[str, Any]:
    for shard in _plan(run, store, settle_seconds=0, uploads_per_shard=2)["shards"]:
        scoring_plan.score_shard(
            run, str(store), shard["index"], model=sequence_model(), stills=Stills(), load_predictor=load_predictor
        )
    return scoring_plan.summarise(run, str(store))


def test_the_job_scores_new_uploads_and_a_second_run_leaves_them_alone(home: Path, tmp_path: Path) -> None:
    drop, results = home / "uploads", home / "results"
    video(picture(drop / "one.jpg", BRIGHT).with_name("book.mp4"), [DARK] * 30 + [BRIGHT] * 15 + [DARK] * 10)
    (drop / "bad.mov").write_bytes(b"no video")
    store = tmp_path / "store"

    first = _run("one", store)
    assert {key: first[key] for key in ("scored", "already_scored", "quarantined", "frames", "flips")} == {
        "scored": 2,
        "already_scored": 0,
        "quarantined": 1,
        "frames": 56,
        "flips": 1,
    }
    assert Path(first["report"]).is_file()
    plan = json.loads((store / "one" / "score" / "plan.json").read_text())
    assert (plan["model_version"], [len(shard["uploads"]) for shard in plan["shards"]]) == ("1", [2, 1])
    assert json.loads((store / "one" / "score" / "summary.json").read_text()) == first

    before = snapshot(results)
    second = _run("two", store)
    assert (second["scored"], second["already_scored"], second["quarantined"]) == (0, 2, 0)
    page = "pageflip/v1/index.html"
    assert {**snapshot(results), page: None} == {**before, page: None}
    assert _run("one", store) == first  # every step repeated: the plan and its counts stay


def test_without_a_champion_day_zero_scores_under_its_own_version(
    tmp_path: Path, mlflow_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(mlflow_home / "uploads" / "one.jpg", BRIGHT)
    summary = _run("one", tmp_path / "store")
    version = summary["model_version"]
    assert (summary["scored"], version.startswith("day-zero-")) == (1, True)
    assert Path(summary["report"]) == mlflow_home / "results" / "pageflip" / f"v{version}" / "index.html"
    assert f"has no champion yet: {version} stands in" in capsys.readouterr().err
    assert _run("two", tmp_path / "store")["already_scored"] == 1


def test_uploads_still_arriving_are_left_for_the_next_run(home: Path, tmp_path: Path) -> None:
    picture(home / "uploads" / "late.jpg", 201)
    assert _plan("early", tmp_path, settle_seconds=3600)["arriving"] == ["late.jpg"]


def test_addresses_that_cannot_be_right_are_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGEFLIP_UPLOADS", str(tmp_path / "unmounted"))
    with pytest.raises(UnavailableError, match=r"there is no folder .*unmounted"):
        _plan("run", tmp_path)
    (tmp_path / "link").symlink_to(home)
    for spelling in (str(home), f"file://{home}", f"{home}/./", str(tmp_path / "link")):
        monkeypatch.setenv("PAGEFLIP_UPLOADS", spelling)
        with pytest.raises(ConfigError, match="among the uploads"):
            _plan("run", tmp_path)


def test_a_step_without_the_one_before_says_which(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"python -m tasks\.score_uploads plan --run none"):
        scoring_plan.summarise("none", str(tmp_path))


def test_the_command_ends_with_a_message_and_its_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tasks.score_uploads", "summarise", "--run", "none", "--store", str(tmp_path)]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == UnavailableError.exit_code
    assert "python -m tasks.score_uploads plan --run none" in failed.stderr
    assert "Traceback" not in failed.stderr
