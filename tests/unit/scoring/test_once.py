"""Scoring uploads exactly once, whatever is tried again, at the same time, or changes meanwhile."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from pageflip.inference.predictor import Predictor
from pageflip.scoring import results as scoring_results
from pageflip.scoring import uploads
from pageflip.scoring.ledger import Ledger
from uploads_factory import BRIGHT, DARK, picture, score, score_one, snapshot, video


def _published(results: Path, outcome: scoring_results.Outcome) -> Path:
    return results / "pageflip" / "v3" / outcome.sha256


def test_a_second_run_changes_nothing(drop: Path, results: Path, predictor: Predictor) -> None:
    video(drop / "book.mp4", [DARK] * 30)
    picture(drop / "one.jpg", BRIGHT)
    (drop / "bad.jpg").write_bytes(b"no picture")
    score(drop, results, predictor)
    before = snapshot(results)
    again = score(drop, results, predictor, run="run-2")
    assert {name: outcome.status for name, outcome in again.items()} == {
        "bad.jpg": "quarantined",
        "book.mp4": "already_scored",
        "one.jpg": "already_scored",
    }
    after = snapshot(results)
    assert {name: after[name] for name in before if "ledger" not in name} == {
        name: state for name, state in before.items() if "ledger" not in name
    }
    assert after.keys() == before.keys()


def test_a_retry_of_the_same_run_counts_its_own_work_as_scored(drop: Path, results: Path, predictor: Predictor) -> None:
    picture(drop / "one.jpg", BRIGHT)
    score(drop, results, predictor)
    assert score(drop, results, predictor)["one.jpg"].status == "scored"


def test_the_same_content_under_two_names_is_published_once(drop: Path, results: Path, predictor: Predictor) -> None:
    picture(drop / "a.jpg", BRIGHT)
    shutil.copy(drop / "a.jpg", drop / "b.jpg")
    outcomes = score(drop, results, predictor)
    assert outcomes["a.jpg"].sha256 == outcomes["b.jpg"].sha256
    assert (outcomes["a.jpg"].status, outcomes["b.jpg"].status) == ("scored", "already_scored")
    assert len(list((results / "pageflip" / "v3").iterdir())) == 1


def test_overlapping_attempts_publish_once(drop: Path, results: Path, predictor: Predictor) -> None:
    video(drop / "book.mp4", [DARK] * 20 + [BRIGHT] * 20)
    (upload,) = uploads.find_uploads(str(drop))
    gate = threading.Barrier(4)

    def attempt(number: int) -> scoring_results.Outcome:
        ledger = Ledger(str(results))
        gate.wait()
        return score_one(upload, results, predictor, ledger, f"run-{number}")

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(attempt, range(4)))
    assert sorted(outcome.status for outcome in outcomes) == ["already_scored"] * 3 + ["scored"]
    (winner,) = [f"run-{number}" for number, outcome in enumerate(outcomes) if outcome.status == "scored"]
    assert json.loads((_published(results, outcomes[0]) / "result.json").read_text())["run"] == winner
    assert [path.name for path in (results / "pageflip" / "v3").iterdir()] == [outcomes[0].sha256]


def test_another_model_version_scores_again_beside_the_first(drop: Path, results: Path, predictor: Predictor) -> None:
    picture(drop / "one.jpg", BRIGHT)
    score(drop, results, predictor)
    before = snapshot(results / "pageflip" / "v3")
    assert score(drop, results, replace(predictor, version="4"))["one.jpg"].status == "scored"
    assert snapshot(results / "pageflip" / "v3") == before
    assert len(list((results / "pageflip" / "v4").iterdir())) == 1


def test_an_upload_that_changed_since_the_plan_is_left(drop: Path, results: Path, predictor: Predictor) -> None:
    picture(drop / "one.jpg", BRIGHT)
    picture(drop / "two.jpg", BRIGHT)
    one, two = uploads.find_uploads(str(drop))
    picture(drop / "one.jpg", DARK)
    (drop / "two.jpg").unlink()
    ledger = Ledger(str(results))
    assert score_one(one, results, predictor, ledger, "run").status == "changed"
    assert score_one(two, results, predictor, ledger, "run").status == "gone"
    assert snapshot(results) == {}


def test_an_upload_that_changes_while_it_is_scored_is_not_published(
    drop: Path, results: Path, predictor: Predictor
) -> None:
    file = picture(drop / "one.jpg", BRIGHT)
    (upload,) = uploads.find_uploads(str(drop))

    class Interrupted:
        width, height, threshold, name, version = predictor.width, predictor.height, 0.5, "pageflip", "3"

        def predict(self, frames: np.ndarray) -> np.ndarray:
            picture(file, DARK)
            return predictor.predict(frames)

        def to_review(self, probability: float) -> bool:
            return predictor.to_review(probability)

    assert score_one(upload, results, Interrupted(), Ledger(str(results)), "run").status == "changed"
    assert snapshot(results) == {}


def test_the_ledger_knows_an_unchanged_upload_and_not_a_changed_one(
    drop: Path, results: Path, predictor: Predictor
) -> None:
    picture(drop / "one.jpg", BRIGHT)
    outcome = score(drop, results, predictor)["one.jpg"]
    (upload,) = uploads.find_uploads(str(drop))
    assert Ledger(str(results)).find(upload) == (outcome.sha256, False)
    picture(drop / "one.jpg", DARK)
    (upload,) = uploads.find_uploads(str(drop))
    assert Ledger(str(results)).find(upload) is None


def test_what_cannot_be_read_is_left_and_the_rest_is_scored(drop: Path, results: Path, predictor: Predictor) -> None:
    (drop / "loop.mp4").symlink_to("loop.mp4")
    picture(drop / "pages" / "1.jpg", BRIGHT)
    (drop / "pages" / "2.jpg").symlink_to("2.jpg")
    picture(drop / "z.jpg", BRIGHT)
    outcomes = score(drop, results, predictor)
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "loop.mp4": "unreadable",
        "pages": "unreadable",
        "z.jpg": "scored",
    }
    assert "2.jpg: Too many levels of symbolic links" in outcomes["pages"].reason
    (drop / "pages" / "2.jpg").unlink()
    assert score(drop, results, predictor)["pages"].status == "scored"
