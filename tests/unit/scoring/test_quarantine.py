"""Uploads that cannot be scored: the reason that is told, and the rest that goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pageflip.inference.predictor import Predictor
from pageflip.scoring import pages, uploads
from pageflip.scoring.ledger import Ledger
from uploads_factory import BRIGHT, DARK, picture, score, score_one, snapshot, video

CRASHING_SHARD = """
import os, sys
from pageflip.events.sequence_model import load_sequence_model
from pageflip.inference.cards import PRETRAINED
from pageflip.scoring.ledger import Ledger
from pageflip.scoring.score import score_upload
from pageflip.scoring.uploads import find_uploads

class Deadly:
    width, height, threshold, name, version = 27, 48, 0.5, "pageflip", "3"
    def predict(self, frames):
        os._exit(139)

(upload,) = find_uploads(sys.argv[1])
outcome = score_upload(
    upload.url, upload.kind, upload.fingerprint,
    predictor=Deadly(), model=load_sequence_model(PRETRAINED), results_url=sys.argv[2],
    ledger=Ledger(sys.argv[2]), run="run-1",
)
print(outcome.status, outcome.reason)
"""


def test_an_upload_that_ends_the_process_three_times_goes_into_quarantine(drop: Path, results: Path) -> None:
    picture(drop / "poison.jpg", BRIGHT)
    command = [sys.executable, "-c", CRASHING_SHARD, str(drop), str(results)]
    for _ in range(3):
        assert subprocess.run(command, check=False).returncode == 139
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert ended.stdout == "quarantined scoring it ended the process 3 times\n"
    (reason,) = (results / "quarantine").glob("*/reason.json")
    assert json.loads(reason.read_text())["reason"] == "scoring it ended the process 3 times"
    assert list((results / "ledger" / "attempts").iterdir()) == []  # once taken out of quarantine, it is tried again
    (upload,) = uploads.find_uploads(str(drop))
    assert Ledger(str(results)).find(upload) == (reason.parent.name, True)


def test_an_unforeseen_error_counts_as_a_lost_attempt(drop: Path, results: Path) -> None:
    picture(drop / "one.jpg", BRIGHT)
    (upload,) = uploads.find_uploads(str(drop))

    class Broken:
        width, height, threshold, name, version = 27, 48, 0.5, "pageflip", "3"

        def predict(self, frames: np.ndarray) -> np.ndarray:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        score_one(upload, results, Broken(), Ledger(str(results)), "run")
    assert len(list((results / "ledger" / "attempts").iterdir())) == 1


def test_attempts_that_end_leave_no_mark(drop: Path, results: Path, predictor: Predictor) -> None:
    picture(drop / "one.jpg", BRIGHT)
    (upload,) = uploads.find_uploads(str(drop))

    class Failing:
        width, height, threshold, name, version = 27, 48, 0.5, "pageflip", "3"

        def predict(self, frames: np.ndarray) -> np.ndarray:
            raise SystemExit(143)

    for _ in range(4):
        with pytest.raises(SystemExit):
            score_one(upload, results, Failing(), Ledger(str(results)), "run")
    assert list((results / "ledger" / "attempts").iterdir()) == []
    assert score_one(upload, results, predictor, Ledger(str(results)), "run").status == "scored"


def _cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def test_bad_uploads_go_into_quarantine_and_the_rest_goes_on(drop: Path, results: Path, predictor: Predictor) -> None:
    (drop / "a-zero.jpg").write_bytes(b"")
    (drop / "b-text.mp4").write_bytes(b"not a video at all")
    _cut(picture(drop / "c-cut.jpg", BRIGHT), 0.6)
    _cut(video(drop / "d-cut.mp4", [DARK, BRIGHT] * 30), 0.6)
    (drop / "e-list.txt").write_bytes(b"shopping")
    (drop / "f-empty").mkdir()
    (drop / "g-other").mkdir()
    (drop / "g-other" / "readme.txt").write_bytes(b"x")
    (drop / "h-broken").mkdir()
    (drop / "h-broken" / "1.jpg").write_bytes(b"x")
    picture(drop / "z-good.jpg", BRIGHT)
    before = snapshot(drop)
    outcomes = score(drop, results, predictor)
    assert snapshot(drop) == before
    assert outcomes.pop("z-good.jpg").status == "scored"
    assert {outcome.status for outcome in outcomes.values()} == {"quarantined"}
    expected = {
        "a-zero.jpg": "a-zero.jpg is empty",
        "b-text.mp4": "b-text.mp4 cannot be decoded",
        "c-cut.jpg": "c-cut.jpg cannot be decoded",
        "d-cut.mp4": "d-cut.mp4 cannot be decoded",
        "e-list.txt": "neither a video nor a picture by its name (.txt)",
        "f-empty": "holds no pictures (0 other files)",
        "g-other": "holds no pictures (1 other files)",
        "h-broken": "none of the 1 pictures can be read: 1.jpg",
    }
    for name, reason in expected.items():
        folder = results / "quarantine" / outcomes[name].sha256
        facts = json.loads((folder / "reason.json").read_text())
        assert reason in facts["reason"]
        assert str(drop) not in facts["reason"]
        assert (facts["sha256"], facts["reason"]) == (outcomes[name].sha256, outcomes[name].reason)
        if not (drop / name).is_dir():
            assert (folder / "upload" / name).read_bytes() == (drop / name).read_bytes()


@pytest.mark.parametrize(("name", "options"), [("a.mp4", {"movflags": "faststart"}), ("a.mkv", {}), ("a.avi", {})])
def test_a_video_cut_short_behind_an_intact_header_goes_into_quarantine(
    name: str, options: dict[str, str], drop: Path, results: Path, predictor: Predictor
) -> None:
    whole = video(drop / name, [DARK, BRIGHT] * 60, **options)
    assert score(drop, results, predictor)[name].status == "scored"
    _cut(whole, 0.5)
    outcome = score(drop, results, predictor)[name]
    assert outcome.status == "quarantined"
    assert f"{name} is cut short" in outcome.reason


def test_good_content_under_a_bad_name_is_scored_once_it_is_renamed(
    drop: Path, results: Path, predictor: Predictor
) -> None:
    picture(drop / "one.jpg", BRIGHT).rename(drop / "one.dat")
    assert score(drop, results, predictor)["one.dat"].status == "quarantined"
    (drop / "one.dat").rename(drop / "one.jpg")
    assert score(drop, results, predictor)["one.jpg"].status == "scored"


def test_names_that_are_no_text_are_scored_too(drop: Path, results: Path, predictor: Predictor) -> None:
    odd = os.fsdecode(b"\xff\n.jpg")
    picture(drop / "one.jpg", BRIGHT).rename(drop / odd)
    folder = drop / os.fsdecode(b"f\xfe")
    picture(folder / "1.jpg", BRIGHT)
    (folder / "1.jpg").rename(folder / odd)
    outcomes = score(drop, results, predictor)
    assert {outcome.status for outcome in outcomes.values()} == {"scored"}
    assert all(name.isprintable() and name.encode() for name in outcomes)
    pages.publish_index(str(results), "pageflip", "3", [])
