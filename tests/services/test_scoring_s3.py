"""Scoring from and to a real S3 server (see conftest.py)."""

import io
import json
import os
import uuid

import numpy as np
import pytest
from PIL import Image

from pageflip.base import storage
from pageflip.scoring import pages, results
from uploads_factory import frame, score

pytestmark = pytest.mark.usefixtures("s3_server")


class Brightness:
    """A model that is sure that bright frames are flips."""

    width, height, threshold, name, version = 18, 32, 0.5, "pageflip", "3"

    def predict(self, frames: np.ndarray) -> np.ndarray:
        return np.where(frames.mean(axis=(1, 2, 3)) > 127, 0.99, 0.01).astype(np.float32)

    def to_review(self, probability: float) -> bool:
        return False


def _picture(grey: int, number: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame(grey, number)).save(buffer, "JPEG")
    return buffer.getvalue()


def _score(place: str, run: str) -> dict[str, results.Outcome]:
    return score(storage.join(place, "uploads"), storage.join(place, "results"), Brightness(), run)


def test_uploads_in_a_bucket_are_scored_once_and_bad_ones_kept_apart() -> None:
    place = f"s3://{os.environ['PAGEFLIP_TEST_BUCKET']}/test {uuid.uuid4().hex}"
    for number in range(30):
        shown = _picture(230 if number > 14 else 20, number)
        storage.write_bytes(storage.join(place, f"uploads/pages/f{number}.jpg"), shown)
    storage.write_bytes(storage.join(place, "uploads/one.jpg"), _picture(230))
    storage.write_bytes(storage.join(place, "uploads/bad.mp4"), b"no video")
    first = _score(place, "run-1")
    assert {name: (outcome.status, outcome.flips) for name, outcome in first.items()} == {
        "bad.mp4": ("quarantined", 0),
        "one.jpg": ("scored", 0),
        "pages": ("scored", 1),
    }
    reason = json.loads(
        storage.read_bytes(storage.join(place, "results/quarantine", first["bad.mp4"].sha256, "reason.json"))
    )
    assert "bad.mp4 cannot be decoded" in reason["reason"]
    before = storage.list_files(storage.join(place, "results/pageflip"))
    assert len(before) == 9  # four of each, and the still of the rest before the flip
    assert {outcome.status for outcome in _score(place, "run-2").values()} == {"already_scored", "quarantined"}
    assert storage.list_files(storage.join(place, "results/pageflip")) == before
    published = results.published_with(storage.join(place, "results"), "pageflip", "3", 1)
    assert (published.count, len(published.newest), published.newest[0]["run"]) == (2, 1, "run-1")
    address = pages.publish_index(storage.join(place, "results"), "pageflip", "3", [])
    assert f'href="{first["pages"].sha256}/index.html"'.encode() in storage.read_bytes(address)
