"""Score the uploads of one run in steps: plan the shards, score each, add up. Every step may be repeated.

    STORE/RUN/score/plan.json      the new uploads, dealt to shards, and the model version that scores them
    STORE/RUN/score/shard-N.json   what became of each upload of a shard
    STORE/RUN/score/summary.json   the counts over all shards

Uploads are read from PAGEFLIP_UPLOADS and never changed; results appear below PAGEFLIP_RESULTS.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from pageflip.base import settings, storage
from pageflip.base.errors import ConfigError, UnavailableError
from pageflip.base.progress import track
from pageflip.base.storage import join
from pageflip.events.sequence_model import SequenceModel
from pageflip.footage.frame_scores import NamedPredictor
from pageflip.params.scoring import ScoreUploads, Stills
from pageflip.scoring import pages, quarantine, results, score, uploads
from pageflip.scoring.ledger import Ledger

LoadPredictor = Callable[[str, str], NamedPredictor]  # of a version or alias, and the registered model's name


def make_plan(
    run: str, store: str, *, model: str, name: str, params: ScoreUploads, load_predictor: LoadPredictor
) -> dict[str, Any]:
    """List the new uploads, deal them to shards and write the plan; a plan that is there already is kept.

    The version is fixed here, so that a promotion in between does not split a batch.

    Args:
        model, name: the alias or version to score with, and the registered model it belongs to.
    """
    url = join(store, run, "score", "plan.json")
    if storage.exists(url):
        return _read(url, "")
    uploads_url, results_url = _addresses()
    predictor = load_predictor(model, name)
    new, counts = _sort_out(uploads_url, results_url, predictor, params.settle_seconds)
    size = params.uploads_per_shard
    shards = [new[start : start + size] for start in range(0, len(new), size)]
    plan = {
        "run": run,
        "model": name,
        "model_version": predictor.version,
        "results": results_url,
        "shards": [{"index": index, "uploads": shard} for index, shard in enumerate(shards)],
        **counts,
    }
    if not storage.create_bytes(url, _json(plan)):
        return _read(url, "")
    print(
        f"plan: {len(new)} new uploads in {len(shards)} shards for {name} version {predictor.version};"
        f" {counts['already_scored']} scored before, {counts['in_quarantine']} in quarantine,"
        f" {len(counts['arriving'])} still arriving at {uploads_url}"
    )
    return plan


def _sort_out(
    uploads_url: str, results_url: str, predictor: NamedPredictor, settle_seconds: float
) -> tuple[list[dict[str, str]], dict[str, Any]]:
    version_url = results.version_url(results_url, predictor.name, predictor.version)
    suffix = "/" + results.RESULT
    published = {
        file.name.removesuffix(suffix) for file in storage.list_files(version_url) if file.name.endswith(suffix)
    }
    ledger = Ledger(results_url)
    new, arriving = [], []
    before: Counter[str] = Counter()
    for upload in uploads.find_uploads(uploads_url):
        sha256, bad = ledger.find(upload) or ("", False)
        if bad and storage.exists(join(quarantine.quarantine_url(results_url, sha256), results.REASON)):
            before["in_quarantine"] += 1
        elif sha256 in published:
            before["already_scored"] += 1
        elif not uploads.is_settled(upload, settle_seconds):
            arriving.append(upload.name)
        else:
            facts = {"name": upload.name, "url": upload.url, "fingerprint": upload.fingerprint, "kind": upload.kind}
            new.append(facts)
    counts = {key: before[key] for key in ("already_scored", "in_quarantine")}
    return new, {**counts, "arriving": arriving}


def score_shard(
    run: str, store: str, index: int, *, model: SequenceModel, stills: Stills, load_predictor: LoadPredictor
) -> list[dict[str, Any]]:
    """Score the uploads of one shard of the plan and write what became of each."""
    folder = join(store, run, "score")
    plan = _read(join(folder, "plan.json"), f"python -m tasks.score_uploads plan --run {run}")
    if not 0 <= index < len(plan["shards"]):
        raise ConfigError(
            f"the plan of run {run} has {len(plan['shards'])} shards, and no shard {index}", "count from 0."
        )
    predictor = load_predictor(plan["model_version"], plan["model"])
    ledger = Ledger(plan["results"])
    outcomes = []
    for item in track(plan["shards"][index]["uploads"], description=f"shard {index}"):
        outcome = score.score_upload(
            item["url"],
            item["kind"],
            item["fingerprint"],
            predictor=predictor,
            model=model,
            results_url=plan["results"],
            ledger=ledger,
            run=run,
            stills=stills,
        )
        outcomes.append(asdict(outcome))
        detail = outcome.reason or (
            f"{outcome.frames} frames, {outcome.flips} flips" if outcome.sha256 else "left alone"
        )
        print(f"{outcome.status}: {outcome.name}: {detail}", flush=True)
    content = {"index": index, "model_version": plan["model_version"], "uploads": outcomes}
    storage.write_bytes(join(folder, f"shard-{index}.json"), _json(content))
    return outcomes


def summarise(run: str, store: str) -> dict[str, Any]:
    """Add up the shards, write the page over all results and the summary."""
    folder = join(store, run, "score")
    plan = _read(join(folder, "plan.json"), f"python -m tasks.score_uploads plan --run {run}")
    outcomes: list[dict[str, Any]] = []
    for shard in plan["shards"]:
        index = shard["index"]
        remedy = f"python -m tasks.score_uploads shard --run {run} --index {index}"
        outcomes += _read(join(folder, f"shard-{index}.json"), remedy)["uploads"]
    report = pages.publish_index(plan["results"], plan["model"], plan["model_version"], outcomes)
    count = Counter(outcome["status"] for outcome in outcomes)
    scored = [outcome for outcome in outcomes if outcome["status"] == results.SCORED]
    summary = {
        "run": run,
        "model_version": plan["model_version"],
        "scored": count[results.SCORED],
        "already_scored": plan["already_scored"] + count[results.ALREADY],
        "quarantined": count[results.QUARANTINED],
        "in_quarantine_before": plan["in_quarantine"],
        "left_for_next_run": len(plan["arriving"]) + count[results.CHANGED] + count[results.UNREADABLE],
        "frames": sum(outcome["frames"] for outcome in scored),
        "flips": sum(outcome["flips"] for outcome in scored),
        "report": report,
    }
    storage.write_bytes(join(folder, "summary.json"), _json(summary))
    print(
        f"score_uploads: {summary['scored']} scored ({summary['frames']} frames, {summary['flips']} flips),"
        f" {summary['already_scored']} scored before, {summary['quarantined']} put into quarantine,"
        f" {summary['left_for_next_run']} left for the next run; report: {report}"
    )
    return summary


def _addresses() -> tuple[str, str]:
    uploads_url, results_url = settings.uploads_url(), settings.results_url()
    if f"{_place(results_url)}/".startswith(f"{_place(uploads_url)}/"):
        raise ConfigError(
            f"results would be published among the uploads: {results_url}", "set PAGEFLIP_RESULTS elsewhere."
        )
    if settings.configured_uploads_url() and not storage.folder_exists(uploads_url):
        raise UnavailableError(f"there is no folder {uploads_url}", "make or mount it, or correct PAGEFLIP_UPLOADS.")
    return uploads_url, results_url


def _place(url: str) -> str:
    """An address in its one spelling: that of the folder itself for a local one."""
    path = storage.local_path(url)
    return (url if path is None else os.path.realpath(path)).rstrip("/")


def _read(url: str, made_by: str) -> dict[str, Any]:
    try:
        return json.loads(storage.read_bytes(url))
    except FileNotFoundError:
        raise UnavailableError(f"there is no {url} yet", f"run `{made_by}` first.") from None


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
