"""The program `pageflip`: what it prints, where, and how it ends."""

import csv
import json
import os
import subprocess
import sys
from io import StringIO

import pytest

from pageflip import __version__
from pageflip.frames.names import frame_path
from pageflip.registry import promotion
from pageflip.synthetic.video import VideoPlan, write_video
from uploads_factory import picture


@pytest.fixture
def champion(models_home):
    promotion.promote_version("pageflip", "1", why="test")


@pytest.fixture
def labelled(tmp_path):
    """Two clips a label of three frames: bright ones are flips, but for one frame. And one that is no picture."""
    folder = tmp_path / "labelled"
    for label, grey in (("flip", 220), ("notflip", 40)):
        for clip in (1, 2):
            for number in (1, 2, 3):
                picture(folder / frame_path("training", label, f"{clip:04d}", number), grey)
    picture(folder / frame_path("training", "notflip", "0001", 1), 220)
    (folder / frame_path("training", "flip", "0001", 2)).write_bytes(b"no picture")
    books = [f"{label},{clip:04d},book {clip}" for label in ("flip", "notflip") for clip in (1, 2)]
    (folder / "books.csv").write_text("\n".join(["label,video_id,book", *books]))
    return folder


def test_help_and_version_import_nothing_heavy():
    script = "import json, sys, pageflip.cli.app; print(json.dumps([name.split('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = (
        "torch",
        "mlflow",
        "pandas",
        "numpy",
        "lightning",
        "great_expectations",
        "onnxruntime",
        "dvc",
        "boto3",
        "av",
    )
    assert not {*heavy, "pydantic", "yaml"} & set(json.loads(done.stdout))


def test_the_help_takes_under_0_4_seconds_of_cpu():
    seconds = []
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-m", "pageflip", "--help"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        seconds.append(usage.ru_utime + usage.ru_stime)
    assert min(seconds) < 0.4


def test_the_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    for command in ("import", "synthesize", "predict", "evaluate", "lineage", "rollback", "doctor"):
        assert command in out
    assert run("--version") == (0, f"pageflip {__version__}\n", "")


def test_synthesize_draws_frames_unless_another_command_is_named(run, tmp_path):
    sizes = ["--books", 1, "--clips-per-book", 2, "--frames-per-clip", 2, "--width", 90, "--height", 160]
    for number, command in enumerate((["synthesize"], ["synthesize", "frames"])):
        code, out, _ = run(*command, "--out", tmp_path / str(number), *sizes)
        assert (code, out) == (0, f"drew 4 frames into {tmp_path / str(number)}\n")
    code, out, _ = run("synthesize", "video", tmp_path / "v.mp4", "--flips", 1, "--width", 90, "--height", 160)
    assert code == 0
    assert out.startswith("drew 1 flips in ")
    assert (tmp_path / "v.events.json").is_file()
    assert run("synthesize", "sheet", tmp_path / "s.jpg", "--books", 1, "--width", 90, "--height", 160)[0] == 0


@pytest.mark.parametrize(
    "former", [["--uploads"], ["--sheet", "s.jpg"], ["--video=v.mp4"], ["--seed", "3", "--video", "v"]]
)
def test_flags_that_became_commands_are_refused_with_the_command(run, former):
    code, out, err = run("synthesize", *former)
    assert (code, out) == (78, "")
    assert "is now a command of its own" in err
    assert "use `pageflip synthesize " in err


def test_a_wrong_option_is_a_usage_error(run):
    assert run("predict", "--formatt", "json", "x.jpg")[0] == 2
    assert run("predict", "--format", "xml", "x.jpg")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "nowhere.jpg"), "there is no nowhere.jpg"),
        (("predict", "--model", "nowhere.onnx", "."), "holds no pictures or videos"),
        (("evaluate", "--data", ".", "--model", "nowhere.onnx"), "there is no model file nowhere.onnx"),
    ],
)
def test_a_path_that_is_not_there_ends_with_78(run, models_home, monkeypatch, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    code, out, err = run(*arguments)
    assert (code, out) == (78, "")
    assert message in err
    assert "What to do:" in err


def test_without_a_champion_predict_and_evaluate_use_day_zero_and_say_so(run, models_home, labelled):
    (labelled / frame_path("training", "flip", "0001", 2)).unlink()  # the one that is no picture
    for command in (("predict", labelled), ("evaluate", "--data", labelled)):
        code, out, err = run(*command, "--format", "json")
        assert code == 0
        assert "pageflip has no champion yet: day-zero-" in err
        named = run(*command, "--format", "json", "--model", "day-zero")
        assert named[:2] == (0, out)
        assert "no champion" not in named[2]


def test_a_bad_file_gives_rows_for_the_others_and_65(run, champion, tmp_path):
    good, bad = picture(tmp_path / "a.jpg", 220), tmp_path / "b.jpg"
    bad.write_bytes(b"no picture")
    code, out, err = run("predict", good, bad, picture(tmp_path / "c.png", 30), "--format", "json")
    assert code == 65
    rows = json.loads(out)
    assert [row["label"] for row in rows] == ["flip", None, "notflip"]
    assert rows[0]["probability"] > 0.9
    assert "b.jpg is not a JPEG or PNG picture" in rows[1]["error"]
    assert err.startswith("error: ")
    assert "b.jpg" in err


def test_predictions_can_be_read_as_csv(run, champion, tmp_path):
    names = [picture(tmp_path / name, grey) for name, grey in (("a,b.png", 220), ("c.png", 30))]
    code, out, err = run("predict", tmp_path, "--format", "csv")
    assert (code, err) == (0, "")
    rows = list(csv.DictReader(StringIO(out)))
    assert [row["path"] for row in rows] == [str(name) for name in names]
    assert [row["label"] for row in rows] == ["flip", "notflip"]
    assert float(rows[1]["probability"]) < 0.1


def test_a_video_gives_frames_and_times(run, champion, tmp_path):
    truth = write_video(tmp_path / "book.mp4", VideoPlan(seed=1, book=0, flips=1, width=90, height=160, fps=10))
    code, out, _ = run("predict", tmp_path / "book.mp4", "--format", "json")
    rows = json.loads(out)
    assert (code, len(rows)) == (0, truth["frames"])
    assert [row["frame"] for row in rows] == list(range(truth["frames"]))
    code, out, _ = run("predict", tmp_path / "book.mp4")
    assert code == 0
    assert "0.10 s" in out


def test_an_evaluation_can_be_read_as_json(run, champion, labelled):
    code, out, err = run("evaluate", "--data", labelled, "--format", "json")
    assert code == 0, err
    result = json.loads(out)
    assert {"f1", "precision", "recall", "roc_auc", "threshold", "n", "model"} <= set(result)
    assert (result["n"], result["model"], result["threshold"]) == (11, "pageflip", 0.5)
    assert result["confusion"] == {"tp": 5, "fp": 1, "fn": 0, "tn": 5}
    assert result["f1"] == pytest.approx(10 / 11)
    assert [entry["path"] for entry in result["undecodable"]] == ["images/training/flip/0001_000000002.jpg"]


def test_an_evaluation_can_be_read_as_csv(run, champion, labelled):
    code, out, _ = run("evaluate", "--data", labelled, "--format", "csv", "--model", "1")
    (row,) = csv.DictReader(StringIO(out))
    assert (code, row["n"], row["tp"], row["version"]) == (0, "11", "5", "1")


def test_an_evaluation_is_shown_with_clips_books_and_what_was_left_out(run, champion, labelled):
    code, out, _ = run("evaluate", "--data", labelled, "--books", labelled / "books.csv")
    assert code == 0
    assert "0.9091" in out
    for text in ("notflip/0001", "book 2", "not counted: images/training/flip/0001_000000002.jpg"):
        assert text in out


def test_an_evaluation_of_one_class_says_what_is_undefined(run, champion, labelled):
    for path in labelled.rglob("images/training/flip/*"):
        path.unlink()
    code, out, _ = run("evaluate", "--data", labelled)
    assert code == 0
    assert "one class only" in out
    assert json.loads(run("evaluate", "--data", labelled, "--format", "json")[1])["roc_auc"] is None


def test_a_folder_that_is_no_archive_ends_with_65(run, champion, tmp_path):
    picture(tmp_path / "frames" / "holiday.jpg", 40)
    code, _, err = run("evaluate", "--data", tmp_path / "frames")
    assert code == 65
    assert "not in the layout" in err


def test_the_lineage_of_a_version_can_be_read_as_json(run, champion):
    code, out, _ = run("lineage", "champion", "--format", "json")
    facts = json.loads(out)
    assert (code, facts["model"], facts["aliases"]) == (0, "pageflip version 1", ["champion"])
    assert run("lineage", "7")[0] == 78


def test_the_installed_program_is_this_one():
    done = subprocess.run([sys.executable, "-m", "pageflip", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"pageflip {__version__}\n"


def test_the_flips_of_a_folder_and_the_stills_of_its_pages_are_told_and_written(run, champion, tmp_path):
    for number in range(90):
        picture(tmp_path / "frames" / f"{number}.png", 220 if 30 <= number < 55 else 40)
    code, out, _ = run("predict", tmp_path / "frames", "--stills", tmp_path / "out", "--format", "json")
    (found,) = json.loads(out)
    assert (code, found["frames"], found["holds_flip"]) == (0, 90, True)
    (flip,) = found["flips"]
    assert max(abs(flip["start_index"] - 30), abs(flip["end_index"] - 54)) <= 4  # frames: 150 ms is what counts
    stills = [still["file"] for still in found["stills"]]
    assert sorted(path.name for path in (tmp_path / "out" / "frames").iterdir()) == stills
    code, out, _ = run("predict", tmp_path / "frames", "--events")
    assert code == 0
    assert "1 flips in 90 frames, 0 stills" in out
    code, _, err = run("predict", tmp_path / "frames", "--stills", tmp_path / "out")
    assert code == 78
    assert "is not empty" in err


def test_events_of_a_single_picture_are_refused(run, champion, tmp_path):
    code, _, err = run("predict", picture(tmp_path / "one.png", 40), "--events")
    assert code == 78
    assert "neither a video nor a folder of frames" in err


def test_labelled_videos_are_judged_and_shown_on_a_page(run, champion, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    truth = write_video(folder / "book.mp4", VideoPlan(seed=1, book=0, flips=1, width=90, height=160, fps=10))
    (folder / "book.events.json").write_text(json.dumps(truth))
    code, out, _ = run("evaluate-videos", folder, "--out", tmp_path / "judged", "--format", "json")
    assert code == 0
    assert json.loads(out)["finders"]["decoder"]["n_true"] == len(truth["events"])
    assert "book.mp4" in (tmp_path / "judged" / "report.html").read_text(encoding="utf-8")
    code, out, _ = run("evaluate-videos", folder, "--out", tmp_path / "judged", "--pages")
    assert code == 0
    assert "median" in out
    assert "page recall" in out


def test_a_folder_without_labelled_videos_ends_with_78(run, champion, tmp_path):
    code, _, err = run("evaluate-videos", tmp_path)
    assert code == 78
    assert "none of the 0 videos" in err
