"""The main job of `make run`, on a tiny set: both DAGs through a real Airflow, to a champion and scored uploads."""

import json
from pathlib import Path

import psutil

from pipeline.conftest import ROOT, call, make_project


def test_the_main_job_runs_both_dags_to_a_promoted_model_and_scored_uploads(tmp_path):
    folder = make_project(tmp_path / "project")
    for name in (".venv", ".venv-airflow"):
        (folder / name).symlink_to(ROOT / name)
    uploads = folder / ".pageflip" / "uploads"
    uploads.mkdir(parents=True)
    (uploads / "broken.mp4").write_bytes(b"this is no video")
    output = call(folder, "python", "-m", "tasks.main_job").stdout
    for stage in ("prepare", "validate", "split", "train@cnn", "evaluate@cnn", "report@cnn", "register", "promote"):
        assert f"retrain: {stage} success" in output
    assert "score_uploads: summarise success" in output
    for row in (
        "F1 of flip (95% interval)",
        "with the frames around",
        "confusion counts",
        "cnn, version 1",
        "candidate, champion",
        "4 now",
    ):
        assert row in output
    results = folder / ".pageflip" / "results"
    published = sorted(path.name for path in results.glob("pageflip/v1/*/*"))
    assert [name for name in published if name != "stills"] == sorted(
        ["frames.parquet", "events.json", "index.html", "result.json"] * 4
    )
    (reason,) = [json.loads(path.read_text()) for path in results.glob("quarantine/*/reason.json")]
    assert reason["name"] == "broken.mp4"
    lines = [line.split() for line in output.splitlines()]
    reports = [words[-1] for words in lines if words[:2] in (["Evaluation", "report"], ["Scoring", "report"])]
    assert len(reports) == 2
    assert all(Path(report).is_file() for report in reports)
    left = [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]
    assert not left
