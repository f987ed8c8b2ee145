"""Scoring uploads: what is found, what is published, once, and what becomes of bad files."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from PIL import Image

from pageflip import frame_scores, scoring, uploads
from pageflip.errors import ConfigError, UnavailableError
from pageflip.inference import BATCH, METADATA_KEY, Predictor
from pageflip.params import Params, load_params
from pageflip.uploads import Ledger
from tasks import score_uploads

WIDTH, HEIGHT = 18, 32
DARK, BRIGHT = 40, 220
SHIFT = 4  # frames by which what is learnt of onsets may move them: 150 ms is what counts


def _write_model(path: Path) -> Path:
    """A model of our interface that calls bright frames flips: sigmoid((mean - 128) / 16)."""
    constants = {"axes": np.array([1, 2, 3], np.int64), "middle": np.float32([128]), "scale": np.float32([1 / 16])}
    nodes = [
        helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "middle"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    facts = {"width": WIDTH, "height": HEIGHT, "threshold": 0.5}
    helper.set_model_props(model, {METADATA_KEY: json.dumps(facts)})
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(_write_model(tmp_path_factory.mktemp("model") / "m.onnx"), name="pageflip", version="3")


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


def _picture(path: Path, grey: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (54, 96), (grey, grey, grey)).save(path)
    return path


def _video(path: Path, greys: list[int], **options: str) -> Path:
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 96, "yuv420p", 1
        for grey in greys:
            frame = av.VideoFrame.from_ndarray(np.full((96, 64, 3), grey, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _score(drop: Path, results: Path, predictor: Predictor, run: str = "run-1") -> dict[str, scoring.Outcome]:
    ledger = Ledger(str(results))
    found = uploads.find_uploads(str(drop))
    return {upload.name: _score_one(upload, results, predictor, ledger, run) for upload in found}


def _score_one(
    upload: uploads.Upload, results: Path, predictor: Predictor, ledger: Ledger, run: str
) -> scoring.Outcome:
    return scoring.score_upload(
        upload.url,
        upload.kind,
        upload.fingerprint,
        predictor=predictor,
        results_url=str(results),
        ledger=ledger,
        run=run,
    )


def _snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def _published(results: Path, outcome: scoring.Outcome) -> Path:
    return results / "pageflip" / "v3" / outcome.sha256


# --- what is an upload


def test_uploads_are_videos_pictures_and_folders_and_no_hidden_or_temporary_names(drop: Path) -> None:
    for name in ("a.MP4", "b.mov", "c.JPEG", "d.png", "e.txt", ".hidden.mp4", "f.mp4.part", "g.tmp", "h.crdownload"):
        (drop / name).write_bytes(b"x")
    _picture(drop / "pages" / "1.jpg", DARK)
    (drop / ".incoming").mkdir()
    (drop / "empty").mkdir()
    kinds = {upload.name: upload.kind for upload in uploads.find_uploads(str(drop))}
    assert kinds == {
        "a.MP4": "video",
        "b.mov": "video",
        "c.JPEG": "image",
        "d.png": "image",
        "e.txt": "unknown",
        "pages": "sequence",
        "empty": "sequence",
    }


def test_an_upload_is_settled_some_time_after_its_last_file(drop: Path) -> None:
    _picture(drop / "pages" / "1.jpg", DARK)
    os.utime(drop / "pages" / "1.jpg", (0, 0))  # unpacking sets old times on files that have only just come
    (upload,) = uploads.find_uploads(str(drop))
    assert not uploads.is_settled(upload, 2, now=upload.changed + 1.5)
    assert uploads.is_settled(upload, 2, now=upload.changed + 2.5)
    assert uploads.is_settled(upload, 2, now=upload.changed - 3600)  # the store's clock is ahead


def test_a_folder_still_being_filled_is_not_settled_even_by_a_hidden_part(drop: Path) -> None:
    _picture(drop / "pages" / "1.jpg", DARK)
    (drop / "pages" / ".2.jpg.part").write_bytes(b"x")
    (upload,) = uploads.find_uploads(str(drop))
    assert upload.changed >= (drop / "pages" / ".2.jpg.part").stat().st_ctime
    assert [file.name for file in upload.files] == ["1.jpg"]


def test_frames_stand_in_natural_order(drop: Path) -> None:
    names = ["frame10.jpg", "frame2.jpg", "frame1.jpg", "frame²3.jpg", "sub/frame1.jpg"]
    for name in names:
        _picture(drop / "pages" / name, DARK)
    (upload,) = uploads.find_uploads(str(drop))
    assert [file.name for file in upload.files][:3] == ["frame1.jpg", "frame2.jpg", "frame10.jpg"]


def test_the_fingerprint_of_a_folder_changes_with_its_files(drop: Path) -> None:
    _picture(drop / "pages" / "1.jpg", DARK)
    (before,) = uploads.find_uploads(str(drop))
    _picture(drop / "pages" / "2.jpg", DARK)
    (after,) = uploads.find_uploads(str(drop))
    assert before.fingerprint != after.fingerprint
    assert uploads.look_again(after.url, after.kind) == replace(
        after, changed=uploads.look_again(after.url, after.kind).changed
    )


# --- scoring


def test_a_video_gets_a_frame_table_its_flips_and_a_page(drop: Path, results: Path, predictor: Predictor) -> None:
    _video(drop / "book.mp4", [DARK] * 30 + [BRIGHT] * 15 + [DARK] * 30 + [BRIGHT] * 12 + [DARK] * 10)
    outcome = _score(drop, results, predictor)["book.mp4"]
    assert (outcome.status, outcome.frames, outcome.flips) == ("scored", 97, 2)
    folder = _published(results, outcome)
    assert sorted(path.name for path in folder.iterdir()) == [
        "events.json",
        "frames.parquet",
        "index.html",
        "result.json",
        "stills",
    ]
    frames = pd.read_parquet(folder / "frames.parquet")
    assert list(frames["index"]) == list(range(97))
    assert frames["time_s"].to_numpy() == pytest.approx(np.arange(97) / 30, abs=1e-3)
    assert (frames["label"] == "flip").sum() == 27
    events = json.loads((folder / "events.json").read_text())
    found = [(event["start_index"], event["end_index"]) for event in events["events"]]
    assert np.abs(np.array(found) - [(30, 44), (75, 86)]).max() <= SHIFT
    assert events["events"][0]["start_s"] == pytest.approx(found[0][0] / 30, abs=1e-3)
    assert events["events"][0]["peak_probability"] > 0.9
    facts = (events["upload"], events["sha256"], events["model_version"], events["threshold"])
    assert facts == ("book.mp4", outcome.sha256, "3", 0.5)


def test_the_page_is_self_contained_and_shades_every_flip(drop: Path, results: Path, predictor: Predictor) -> None:
    _video(drop / "<b>&.mp4", [DARK] * 30 + [BRIGHT] * 15 + [DARK] * 30)
    (outcome,) = _score(drop, results, predictor).values()
    page = (_published(results, outcome) / "index.html").read_text()
    assert page.count('<rect class="flip"') == 1
    assert "&lt;b&gt;&amp;.mp4" in page
    assert "<b>&.mp4" not in page
    for word in ("http://", "https://", "<script"):
        assert word not in page
    assert page.count("src=") == page.count('src="data:image/jpeg;base64,')
    for word in ("viewport", "prefers-color-scheme: dark", "version 3"):
        assert word in page
    assert re.search(r"\b0:0[01]\.\d\b", page)  # when the flip begins


def test_a_folder_is_scored_as_a_sequence_and_a_broken_frame_is_noted(
    drop: Path, results: Path, predictor: Predictor
) -> None:
    for number in range(1, 31):
        _picture(drop / "pages" / f"f{number}.jpg", BRIGHT if 11 <= number <= 20 else DARK)
    whole = (drop / "pages" / "f15.jpg").read_bytes()
    (drop / "pages" / "f15.jpg").write_bytes(whole[: len(whole) // 2])
    (drop / "pages" / "notes.txt").write_text("by hand")
    outcome = _score(drop, results, predictor)["pages"]
    assert (outcome.status, outcome.frames, outcome.flips) == ("scored", 30, 1)
    folder = _published(results, outcome)
    frames = pd.read_parquet(folder / "frames.parquet").set_index("name")
    assert "f15.jpg" in frames.loc["f15.jpg", "error"]
    assert str(drop) not in frames.loc["f15.jpg", "error"]
    assert pd.isna(frames.loc["f15.jpg", "probability"])
    (event,) = json.loads((folder / "events.json").read_text())["events"]
    assert max(abs(event["start_index"] - 10), abs(event["end_index"] - 19)) <= SHIFT
    assert event["start_s"] is None
    result = json.loads((folder / "result.json").read_text())
    assert (result["broken_frames"], result["ignored_files"]) == (1, ["notes.txt"])
    assert "1 of 30 frames cannot be read" in (folder / "index.html").read_text()


def test_frames_that_the_model_is_not_sure_of_are_marked_and_counted(
    drop: Path, results: Path, predictor: Predictor
) -> None:
    for number, grey in enumerate((DARK, 128, BRIGHT, 128), start=1):
        _picture(drop / "pages" / f"f{number}.png", grey)
    (drop / "pages" / "f4.png").write_text("no picture")
    outcome = _score(drop, results, replace(predictor, band=(0.4, 0.6)))["pages"]
    folder = _published(results, outcome)
    assert pd.read_parquet(folder / "frames.parquet")["review"].tolist() == [False, True, False, None]
    assert json.loads((folder / "result.json").read_text())["review_frames"] == 1


def test_a_picture_gets_a_label_and_no_event(drop: Path, results: Path, predictor: Predictor) -> None:
    _picture(drop / "one.png", BRIGHT)
    outcome = _score(drop, results, predictor)["one.png"]
    assert (outcome.status, outcome.frames, outcome.flips) == ("scored", 1, 0)
    assert list(pd.read_parquet(_published(results, outcome) / "frames.parquet")["label"]) == ["flip"]


def test_frames_are_held_one_batch_at_a_time(drop: Path, predictor: Predictor) -> None:
    most = 0

    class Watching:
        width, height, threshold = WIDTH, HEIGHT, 0.5

        def predict(self, frames: np.ndarray) -> np.ndarray:
            nonlocal most
            most = max(most, len(frames))
            return predictor.predict(frames)

    frames = ((None, i / 30, np.zeros((HEIGHT, WIDTH, 3), np.uint8)) for i in range(1000))
    scores = frame_scores._read_sequence(frames, Watching())
    assert (len(scores.probabilities), most) == (1000, BATCH)


def test_a_timeline_of_any_length_keeps_its_peak() -> None:
    probabilities = np.zeros(100_000, np.float32)
    probabilities[77_777] = 1.0
    points = scoring.timeline(probabilities).split()
    assert len(points) <= 2 * scoring.TIMELINE_STEPS
    assert [point for point in points if point.endswith(",0.0")] == ["777.8,0.0"]
    assert scoring.timeline(np.full(3, np.nan, np.float32)) == ""


def test_a_model_without_a_version_is_refused(drop: Path, results: Path, predictor: Predictor) -> None:
    _picture(drop / "one.jpg", BRIGHT)
    with pytest.raises(ConfigError, match="has no version"):
        _score(drop, results, replace(predictor, version=None))


# --- exactly once


def test_a_second_run_changes_nothing(drop: Path, results: Path, predictor: Predictor) -> None:
    _video(drop / "book.mp4", [DARK] * 30)
    _picture(drop / "one.jpg", BRIGHT)
    (drop / "bad.jpg").write_bytes(b"no picture")
    _score(drop, results, predictor)
    before = _snapshot(results)
    again = _score(drop, results, predictor, run="run-2")
    assert {name: outcome.status for name, outcome in again.items()} == {
        "bad.jpg": "quarantined",
        "book.mp4": "already_scored",
        "one.jpg": "already_scored",
    }
    after = _snapshot(results)
    assert {name: after[name] for name in before if "ledger" not in name} == {
        name: state for name, state in before.items() if "ledger" not in name
    }
    assert after.keys() == before.keys()


def test_a_retry_of_the_same_run_counts_its_own_work_as_scored(drop: Path, results: Path, predictor: Predictor) -> None:
    _picture(drop / "one.jpg", BRIGHT)
    _score(drop, results, predictor)
    assert _score(drop, results, predictor)["one.jpg"].status == "scored"


def test_the_same_content_under_two_names_is_published_once(drop: Path, results: Path, predictor: Predictor) -> None:
    _picture(drop / "a.jpg", BRIGHT)
    shutil.copy(drop / "a.jpg", drop / "b.jpg")
    outcomes = _score(drop, results, predictor)
    assert outcomes["a.jpg"].sha256 == outcomes["b.jpg"].sha256
    assert (outcomes["a.jpg"].status, outcomes["b.jpg"].status) == ("scored", "already_scored")
    assert len(list((results / "pageflip" / "v3").iterdir())) == 1


def test_overlapping_attempts_publish_once(drop: Path, results: Path, predictor: Predictor) -> None:
    _video(drop / "book.mp4", [DARK] * 20 + [BRIGHT] * 20)
    (upload,) = uploads.find_uploads(str(drop))
    gate = threading.Barrier(4)

    def attempt(number: int) -> scoring.Outcome:
        ledger = Ledger(str(results))
        gate.wait()
        return _score_one(upload, results, predictor, ledger, f"run-{number}")

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(attempt, range(4)))
    assert sorted(outcome.status for outcome in outcomes) == ["already_scored"] * 3 + ["scored"]
    (winner,) = [f"run-{number}" for number, outcome in enumerate(outcomes) if outcome.status == "scored"]
    assert json.loads((_published(results, outcomes[0]) / "result.json").read_text())["run"] == winner
    assert [path.name for path in (results / "pageflip" / "v3").iterdir()] == [outcomes[0].sha256]


def test_another_model_version_scores_again_beside_the_first(drop: Path, results: Path, predictor: Predictor) -> None:
    _picture(drop / "one.jpg", BRIGHT)
    _score(drop, results, predictor)
    before = _snapshot(results / "pageflip" / "v3")
    assert _score(drop, results, replace(predictor, version="4"))["one.jpg"].status == "scored"
    assert _snapshot(results / "pageflip" / "v3") == before
    assert len(list((results / "pageflip" / "v4").iterdir())) == 1


def test_an_upload_that_changed_since_the_plan_is_left(drop: Path, results: Path, predictor: Predictor) -> None:
    _picture(drop / "one.jpg", BRIGHT)
    _picture(drop / "two.jpg", BRIGHT)
    one, two = uploads.find_uploads(str(drop))
    _picture(drop / "one.jpg", DARK)
    (drop / "two.jpg").unlink()
    ledger = Ledger(str(results))
    assert _score_one(one, results, predictor, ledger, "run").status == "changed"
    assert _score_one(two, results, predictor, ledger, "run").status == "gone"
    assert _snapshot(results) == {}


def test_an_upload_that_changes_while_it_is_scored_is_not_published(
    drop: Path, results: Path, predictor: Predictor
) -> None:
    file = _picture(drop / "one.jpg", BRIGHT)
    (upload,) = uploads.find_uploads(str(drop))

    class Interrupted:
        width, height, threshold, name, version = WIDTH, HEIGHT, 0.5, "pageflip", "3"

        def predict(self, frames: np.ndarray) -> np.ndarray:
            _picture(file, DARK)
            return predictor.predict(frames)

        def to_review(self, probability: float) -> bool:
            return predictor.to_review(probability)

    assert _score_one(upload, results, Interrupted(), Ledger(str(results)), "run").status == "changed"
    assert _snapshot(results) == {}


def test_the_ledger_knows_an_unchanged_upload_and_not_a_changed_one(
    drop: Path, results: Path, predictor: Predictor
) -> None:
    _picture(drop / "one.jpg", BRIGHT)
    outcome = _score(drop, results, predictor)["one.jpg"]
    (upload,) = uploads.find_uploads(str(drop))
    assert Ledger(str(results)).find(upload) == (outcome.sha256, False)
    _picture(drop / "one.jpg", DARK)
    (upload,) = uploads.find_uploads(str(drop))
    assert Ledger(str(results)).find(upload) is None


def test_what_cannot_be_read_is_left_and_the_rest_is_scored(drop: Path, results: Path, predictor: Predictor) -> None:
    (drop / "loop.mp4").symlink_to("loop.mp4")
    _picture(drop / "pages" / "1.jpg", BRIGHT)
    (drop / "pages" / "2.jpg").symlink_to("2.jpg")
    _picture(drop / "z.jpg", BRIGHT)
    outcomes = _score(drop, results, predictor)
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "loop.mp4": "unreadable",
        "pages": "unreadable",
        "z.jpg": "scored",
    }
    assert "2.jpg: Too many levels of symbolic links" in outcomes["pages"].reason
    (drop / "pages" / "2.jpg").unlink()
    assert _score(drop, results, predictor)["pages"].status == "scored"


# --- quarantine


CRASHING_SHARD = """
import os, sys
from pageflip import scoring, uploads

class Deadly:
    width, height, threshold, name, version = 18, 32, 0.5, "pageflip", "3"
    def predict(self, frames):
        os._exit(139)

(upload,) = uploads.find_uploads(sys.argv[1])
outcome = scoring.score_upload(
    upload.url, upload.kind, upload.fingerprint,
    predictor=Deadly(), results_url=sys.argv[2], ledger=uploads.Ledger(sys.argv[2]), run="run-1",
)
print(outcome.status, outcome.reason)
"""


def test_an_upload_that_ends_the_process_three_times_goes_into_quarantine(drop: Path, results: Path) -> None:
    _picture(drop / "poison.jpg", BRIGHT)
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
    _picture(drop / "one.jpg", BRIGHT)
    (upload,) = uploads.find_uploads(str(drop))

    class Broken:
        width, height, threshold, name, version = WIDTH, HEIGHT, 0.5, "pageflip", "3"

        def predict(self, frames: np.ndarray) -> np.ndarray:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _score_one(upload, results, Broken(), Ledger(str(results)), "run")
    assert len(list((results / "ledger" / "attempts").iterdir())) == 1


def test_attempts_that_end_leave_no_mark(drop: Path, results: Path, predictor: Predictor) -> None:
    _picture(drop / "one.jpg", BRIGHT)
    (upload,) = uploads.find_uploads(str(drop))

    class Failing:
        width, height, threshold, name, version = WIDTH, HEIGHT, 0.5, "pageflip", "3"

        def predict(self, frames: np.ndarray) -> np.ndarray:
            raise SystemExit(143)

    for _ in range(4):
        with pytest.raises(SystemExit):
            _score_one(upload, results, Failing(), Ledger(str(results)), "run")
    assert list((results / "ledger" / "attempts").iterdir()) == []
    assert _score_one(upload, results, predictor, Ledger(str(results)), "run").status == "scored"


def _cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def test_bad_uploads_go_into_quarantine_and_the_rest_goes_on(drop: Path, results: Path, predictor: Predictor) -> None:
    (drop / "a-zero.jpg").write_bytes(b"")
    (drop / "b-text.mp4").write_bytes(b"not a video at all")
    _cut(_picture(drop / "c-cut.jpg", BRIGHT), 0.6)
    _cut(_video(drop / "d-cut.mp4", [DARK, BRIGHT] * 30), 0.6)
    (drop / "e-list.txt").write_bytes(b"shopping")
    (drop / "f-empty").mkdir()
    (drop / "g-other").mkdir()
    (drop / "g-other" / "readme.txt").write_bytes(b"x")
    (drop / "h-broken").mkdir()
    (drop / "h-broken" / "1.jpg").write_bytes(b"x")
    _picture(drop / "z-good.jpg", BRIGHT)
    before = _snapshot(drop)
    outcomes = _score(drop, results, predictor)
    assert _snapshot(drop) == before
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
    whole = _video(drop / name, [DARK, BRIGHT] * 60, **options)
    assert _score(drop, results, predictor)[name].status == "scored"
    _cut(whole, 0.5)
    outcome = _score(drop, results, predictor)[name]
    assert outcome.status == "quarantined"
    assert f"{name} is cut short" in outcome.reason


def test_good_content_under_a_bad_name_is_scored_once_it_is_renamed(
    drop: Path, results: Path, predictor: Predictor
) -> None:
    _picture(drop / "one.jpg", BRIGHT).rename(drop / "one.dat")
    assert _score(drop, results, predictor)["one.dat"].status == "quarantined"
    (drop / "one.dat").rename(drop / "one.jpg")
    assert _score(drop, results, predictor)["one.jpg"].status == "scored"


def test_names_that_are_no_text_are_scored_too(drop: Path, results: Path, predictor: Predictor) -> None:
    odd = os.fsdecode(b"\xff\n.jpg")
    _picture(drop / "one.jpg", BRIGHT).rename(drop / odd)
    folder = drop / os.fsdecode(b"f\xfe")
    _picture(folder / "1.jpg", BRIGHT)
    (folder / "1.jpg").rename(folder / odd)
    outcomes = _score(drop, results, predictor)
    assert {outcome.status for outcome in outcomes.values()} == {"scored"}
    assert all(name.isprintable() and name.encode() for name in outcomes)
    scoring.publish_index(str(results), "pageflip", "3", [])


# --- the page over all, and the command


def test_the_index_lists_earlier_results_and_the_problems_of_the_run(
    drop: Path, results: Path, predictor: Predictor
) -> None:
    _picture(drop / "first.jpg", BRIGHT)
    first = _score(drop, results, predictor)["first.jpg"]
    _picture(drop / "second.jpg", DARK)
    _score(drop, results, predictor, run="run-2")
    problem = {"name": "bad.mp4", "status": "quarantined", "reason": "bad.mp4 is <empty>"}
    address = scoring.publish_index(str(results), "pageflip", "3", [problem])
    page = Path(address).read_text()
    assert address == str(results / "pageflip" / "v3" / "index.html")
    assert page.index("second.jpg") < page.index("first.jpg")
    assert f'href="{first.sha256}/index.html"' in page
    assert "bad.mp4 is &lt;empty&gt;" in page


def test_the_index_stays_when_there_is_nothing_to_add(drop: Path, results: Path, predictor: Predictor) -> None:
    _picture(drop / "first.jpg", BRIGHT)
    _score(drop, results, predictor)
    page = Path(scoring.publish_index(str(results), "pageflip", "3", []))
    before = page.stat().st_ino
    scoring.publish_index(str(results), "pageflip", "3", [])
    assert page.stat().st_ino == before
    _picture(drop / "second.jpg", DARK)
    _score(drop, results, predictor)  # by a run that ended before its summary
    scoring.publish_index(str(results), "pageflip", "3", [])
    assert "second.jpg" in page.read_text()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a real registry in which the brightness model is champion."""
    folder = tmp_path_factory.mktemp("home")
    package = folder / "package"
    package.mkdir()
    _write_model(package / "model.onnx")
    (package / "card.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("PAGEFLIP_", "MLFLOW_"))]:
            patch.delenv(name)
        patch.setenv("PAGEFLIP_HOME", str(folder))
        from pageflip import registry

        run = registry.TrainingRun(key="key", name="name", params={}, tags={})
        run.finish(weights_sha256="weights", folder=package)
        version = registry.register_version(
            "pageflip", package, weights_sha256="weights", tags={}, lock="", pip_requirements=["numpy"]
        )
        registry.promote_version("pageflip", version, why="test")
        yield folder


def _run(run: str, store: Path, params: Params) -> dict[str, object]:
    for shard in score_uploads.make_plan(run, str(store), params)["shards"]:
        score_uploads.score_shard(run, shard["index"], str(store))
    return score_uploads.summarise(run, str(store))


def test_the_job_scores_new_uploads_and_a_second_run_leaves_them_alone(home: Path, tmp_path: Path) -> None:
    drop, results = home / "uploads", home / "results"
    _video(_picture(drop / "one.jpg", BRIGHT).with_name("book.mp4"), [DARK] * 30 + [BRIGHT] * 15 + [DARK] * 10)
    (drop / "bad.mov").write_bytes(b"no video")
    params = tmp_path / "params.yaml"
    text = Path("params.yaml").read_text().replace("settle_seconds: 2", "settle_seconds: 0")
    params.write_text(text.replace("uploads_per_shard: 8", "uploads_per_shard: 2"))
    store = tmp_path / "store"

    first = _run("one", store, load_params(params))
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

    before = _snapshot(results)
    second = _run("two", store, load_params(params))
    assert (second["scored"], second["already_scored"], second["quarantined"]) == (0, 2, 0)
    page = "pageflip/v1/index.html"
    assert {**_snapshot(results), page: None} == {**before, page: None}
    assert _run("one", store, load_params(params)) == first  # every step repeated: the plan and its counts stay


def test_without_a_champion_day_zero_scores_under_its_own_version(
    tmp_path: Path, mlflow_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _picture(mlflow_home / "uploads" / "one.jpg", BRIGHT)
    params = tmp_path / "params.yaml"
    text = (Path(__file__).parents[2] / "params.yaml").read_text()
    params.write_text(text.replace("settle_seconds: 2", "settle_seconds: 0"))
    summary = _run("one", tmp_path / "store", load_params(params))
    version = summary["model_version"]
    assert (summary["scored"], version.startswith("day-zero-")) == (1, True)
    assert Path(summary["report"]) == mlflow_home / "results" / "pageflip" / f"v{version}" / "index.html"
    assert f"has no champion yet: {version} stands in" in capsys.readouterr().err
    assert _run("two", tmp_path / "store", load_params(params))["already_scored"] == 1


def test_uploads_still_arriving_are_left_for_the_next_run(home: Path, tmp_path: Path) -> None:
    _picture(home / "uploads" / "late.jpg", 201)
    params = tmp_path / "params.yaml"
    params.write_text(Path("params.yaml").read_text().replace("settle_seconds: 2", "settle_seconds: 3600"))
    assert score_uploads.make_plan("early", str(tmp_path), load_params(params))["arriving"] == ["late.jpg"]


def test_addresses_that_cannot_be_right_are_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load_params(Path("params.yaml"))
    monkeypatch.setenv("PAGEFLIP_UPLOADS", str(tmp_path / "unmounted"))
    with pytest.raises(UnavailableError, match=r"there is no folder .*unmounted"):
        score_uploads.make_plan("run", str(tmp_path), params)
    (tmp_path / "link").symlink_to(home)
    for spelling in (str(home), f"file://{home}", f"{home}/./", str(tmp_path / "link")):
        monkeypatch.setenv("PAGEFLIP_UPLOADS", spelling)
        with pytest.raises(ConfigError, match="among the uploads"):
            score_uploads.make_plan("run", str(tmp_path), params)


def test_a_step_without_the_one_before_says_which(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"python -m tasks\.score_uploads plan --run none"):
        score_uploads.summarise("none", str(tmp_path))


def test_the_command_ends_with_a_message_and_its_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tasks.score_uploads", "summarise", "--run", "none", "--store", str(tmp_path)]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == UnavailableError.exit_code
    assert "python -m tasks.score_uploads plan --run none" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_everything_but_the_marker_is_the_same_when_it_is_scored_again(
    drop: Path, results: Path, tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    _video(drop / "book.mp4", [DARK] * 20 + [BRIGHT] * 20)
    for place, now in ((results, "2026-01-01T00:00"), (tmp_path / "again", "2026-01-02T00:01")):
        monkeypatch.setattr(scoring, "_now", lambda now=now: now)
        _score(drop, place, predictor, run=now)
    published = [_snapshot(place / "pageflip") for place in (results, tmp_path / "again")]
    one, two = ({name: content for name, (content, _) in files.items()} for files in published)
    assert [name for name in one if one[name] != two[name]] == [name for name in one if name.endswith("result.json")]
