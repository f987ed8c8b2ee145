"""Real frames, which are not part of the project: PAGEFLIP_REAL_FRAMES names a folder in the archive's layout."""

import json
import os
import shutil
from pathlib import Path

import pytest

from pageflip.frames.raw_folder import list_frames
from pipeline.conftest import call

REAL = os.environ.get("PAGEFLIP_REAL_FRAMES")
pytestmark = pytest.mark.skipif(not REAL, reason="PAGEFLIP_REAL_FRAMES is not set")


def test_real_frames_go_through_prepare_validate_and_predict_without_complaint(fresh):
    shutil.copy(Path(__file__).parents[2] / "params.yaml", fresh)  # the real limits
    call(fresh, "python", "-m", "tasks.prepare", "--raw", REAL, "--out", "real/frames")
    done = call(fresh, "python", "-m", "tasks.validate", "--frames", "real/frames", "--out", "real/validation")
    assert " 0 failed" in done.stdout
    predictions = json.loads(call(fresh, "pageflip", "predict", REAL, "--format", "json").stdout)
    assert len(predictions) == len(list_frames(Path(REAL)))
    assert not [row for row in predictions if row["error"]]


def test_real_frames_can_be_imported_and_measured(fresh):
    call(fresh, "pageflip", "import", REAL, "--out", "real/raw")
    output = call(fresh, "pageflip", "evaluate", "--data", "real/raw", "--format", "json").stdout
    assert json.loads(output)["n"] == len(list_frames(Path(REAL)))
