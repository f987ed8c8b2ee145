"""Checks of the frame table: what stops the pipeline, and what is only said."""

import json
import sys

import pytest

from pageflip.base.errors import DataError
from pageflip.frames.validation import check_frames
from pageflip.params.all import load_params
from tasks import validate

BOTH_LABELS = "both labels are present"
TWO_LABELS = "no picture stands under two labels"


@pytest.fixture
def limits(params_file):
    """The project's limits, but for the size of our tiny frames and the number of their clips."""
    own = load_params(params_file).validate_
    return own.model_copy(update={"min_width": 40, "min_height": 80, "warn_clips_per_label": 6})


@pytest.fixture
def check(limits, tmp_path):
    """Check an index; give the names of what failed by severity."""

    def run(index, **changes):
        folder = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        checks = check_frames(index, limits.model_copy(update=changes), folder)
        result = json.loads((folder / "result.json").read_text())
        assert result["success"] == all(one.success for one in checks if one.severity == "critical")
        assert [one["name"] for one in result["checks"]] == [one.name for one in checks]
        run.checks = {(one.severity, one.name): one for one in checks}
        failed = {severity: [] for severity in ("critical", "warning")}
        for one in checks:
            if not one.success:
                failed[one.severity].append(one.name)
        return failed

    return run


def test_whole_frames_pass_and_leave_a_page(index, limits, tmp_path):
    checks = check_frames(index, limits, tmp_path)
    assert [one.name for one in checks if not one.success] == []
    assert json.loads((tmp_path / "result.json").read_text())["success"] is True
    assert "<html" in (tmp_path / "docs" / "index.html").read_text()


def test_equal_frames_give_an_equal_result(index, limits, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        check_frames(index, limits, tmp_path / name)
    assert (tmp_path / "one" / "result.json").read_bytes() == (tmp_path / "two" / "result.json").read_bytes()


def test_too_many_frames_that_cannot_be_decoded_are_a_breach(index, check):
    index.loc[:2, ["decodable", "width", "height", "brightness_mean"]] = [False, None, None, None]
    assert check(index, min_decodable_share=0.95)["critical"] == []
    assert check(index, min_decodable_share=0.96)["critical"] == ["at least 96.00% of the frames can be decoded"]
    breach = check.checks["critical", "at least 96.00% of the frames can be decoded"]
    assert (breach.failed, breach.checked) == (3, 60)
    assert breach.examples == tuple(sorted(index["path"][:3]))


def test_an_empty_class_is_a_breach(index, check):
    assert check(index[index["label"] == "flip"].reset_index(drop=True))["critical"] == [BOTH_LABELS]
    assert check.checks["critical", BOTH_LABELS].observed == "without notflip"


def test_the_same_picture_under_two_labels_is_a_breach(index, check):
    index.loc[59, "sha256"] = index.loc[0, "sha256"]
    assert check(index)["critical"] == [TWO_LABELS]
    assert check.checks["critical", TWO_LABELS].examples == tuple(sorted(index["path"].iloc[[0, 59]]))


def test_the_same_picture_twice_under_one_label_is_none(index, check):
    index.loc[1, "sha256"] = index.loc[0, "sha256"]
    assert check(index)["critical"] == []


@pytest.mark.parametrize(
    ("column", "value", "name"),
    [
        ("frame", 2, "frame keys (label, video, frame) are unique"),
        ("frame", 0, "frame numbers are positive"),
        ("label", "flop", "labels are known"),
        ("width", 39, "frames are at least 40 pixels wide"),
        ("height", 79, "frames are at least 80 pixels high"),
    ],
)
def test_one_bad_row_is_a_breach_and_is_named(index, check, column, value, name):
    index.loc[0, column] = value
    assert name in check(index)["critical"]
    assert index["path"][0] in check.checks["critical", name].examples


def test_too_few_clips_and_frames_are_a_breach(index, check):
    assert check(index, min_clips_per_label=7)["critical"] == ["a label has at least 7 clips"]
    assert check(index, min_frames_per_clip=6)["critical"] == ["a clip has at least 6 frames"]


def test_dark_frames_are_a_breach_beyond_the_allowed_share(index, check):
    index.loc[:5, "brightness_mean"] = 3.0
    assert check(index, brightness_share=0.9)["critical"] == []
    assert len(check(index, brightness_share=0.91)["critical"]) == 1


def test_few_clips_and_unknown_books_are_warnings_that_fail_nothing(index, check):
    index.loc[index["clip"] == "flip/0001", "book"] = None
    failed = check(index, warn_clips_per_label=7, warn_frames_per_clip=6, warn_clips_per_book=5)
    assert failed == {
        "critical": [],
        "warning": [
            "a label has at least 7 clips",
            "a book has at least 5 clips",
            "a clip has at least 6 frames",
            "the book of every clip is known",
        ],
    }


def test_without_any_book_only_that_is_said(index, check):
    index["book"] = None
    assert check(index) == {"critical": [], "warning": ["the book of every clip is known"]}


def run_stage(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["validate", *map(str, arguments)])
    validate.main()


def test_the_stage_fails_on_a_breach_after_writing_what_it_found(packed, params_file, tmp_path, monkeypatch, capsys):
    out = tmp_path / "validation"
    with pytest.raises(DataError, match="fail 2 checks, the first: frames are at least 240 pixels wide"):
        run_stage(monkeypatch, "--frames", packed[1], "--out", out, "--params", params_file)
    assert json.loads((out / "result.json").read_text())["success"] is False
    assert "15 checks, 2 failed, 1 warnings" in capsys.readouterr().out


def test_the_stage_passes_with_warnings(packed, params_file, tmp_path, monkeypatch, capsys):
    params = tmp_path / "params.yaml"
    params.write_text(params_file.read_text().replace("min_width: 240", "min_width: 40").replace("240", "40"))
    run_stage(monkeypatch, "--frames", packed[1], "--out", tmp_path / "validation", "--params", params)
    out = capsys.readouterr().out
    assert "15 checks, 0 failed, 1 warnings" in out
    assert "a label has at least 10 clips" in out
