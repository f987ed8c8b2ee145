"""Score one upload: frame table, flips, page stills and a page, published once per content and model version.

RESULTS/MODEL/vVERSION/SHA256/    frames.parquet, events.json, stills/, index.html, and last result.json
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pageflip.base import storage
from pageflip.base.errors import DataError, UnavailableError
from pageflip.base.files import write_json
from pageflip.base.storage import join
from pageflip.events.flip import Flip
from pageflip.events.sequence_model import SequenceModel
from pageflip.events.stills import Still
from pageflip.footage import media
from pageflip.footage.frame_scores import NamedPredictor
from pageflip.footage.media import IMAGE, SEQUENCE, LocalFile
from pageflip.footage.read_events import StillsOutput, read_events
from pageflip.params.scoring import Stills
from pageflip.scoring import uploads
from pageflip.scoring.frame_table import frame_table
from pageflip.scoring.ledger import MOST_ATTEMPTS, Ledger
from pageflip.scoring.pages import LISTED, SHOWN, encode_thumbnail, page_values, render_page
from pageflip.scoring.quarantine import quarantine_upload
from pageflip.scoring.results import (
    ALREADY,
    CHANGED,
    GONE,
    QUARANTINED,
    RESULT,
    SCORED,
    STILLS,
    UNREADABLE,
    Outcome,
    read_published,
    utc_now,
    version_url,
)
from pageflip.scoring.uploads import Upload


def score_upload(
    url: str,
    kind: str,
    fingerprint: str,
    *,
    predictor: NamedPredictor,
    model: SequenceModel,
    results_url: str,
    ledger: Ledger,
    run: str,
    stills: Stills | None = None,
) -> Outcome:
    """Score one upload and publish its result, or put it into quarantine; harmless to repeat and to run twice at once.

    An upload that is no longer what the fingerprint says is left for the next run.

    Args:
        model: temporal network and decoder.
        stills: how page stills are chosen; None takes the defaults.

    Raises:
        UnavailableError: a store does not answer.
    """
    upload = uploads.look_again(url, kind)
    name = upload.name if upload else media.printable(url.rsplit("/", 1)[-1])
    if upload is None or upload.fingerprint != fingerprint:
        return Outcome(name, CHANGED if upload else GONE)
    if upload.error:
        return Outcome(name, UNREADABLE, reason=upload.error)
    try:
        with uploads.fetched(upload) as files, ledger.attempt(upload) as lost:
            hopeless = lost >= MOST_ATTEMPTS
            return _score(
                upload, files, predictor, model, results_url, ledger, run, stills or Stills(), hopeless=hopeless
            )
    except FileNotFoundError:
        return Outcome(name, GONE)
    except OSError as error:
        raise UnavailableError(f"scoring {name} stopped: {error}", "see to the disk, then run it again.") from error


def _score(
    upload: Upload,
    files: list[LocalFile],
    predictor: NamedPredictor,
    model: SequenceModel,
    results_url: str,
    ledger: Ledger,
    run: str,
    stills: Stills,
    *,
    hopeless: bool,
) -> Outcome:
    try:
        sha256 = uploads.content_sha256(upload.kind, files)
    except PermissionError as error:
        return Outcome(upload.name, UNREADABLE, reason=str(error))
    target = join(version_url(results_url, predictor.name, predictor.version), sha256)
    done = read_published(target)
    if done is None:
        with storage.staging_folder(target) as staging:
            prepared = staging / "result"
            prepared.mkdir()
            reason: str | None
            if hopeless:
                reason = f"scoring it ended the process {MOST_ATTEMPTS} times"
            else:
                reason = _prepare(upload, files, sha256, prepared, predictor, model, run, stills)
            now = uploads.look_again(upload.url, upload.kind)
            if now is None or now.fingerprint != upload.fingerprint:  # so that what was read was not the upload
                return Outcome(upload.name, CHANGED if now else GONE)
            if reason is not None:
                quarantine_upload(upload, files, sha256, reason, results_url, run)
                ledger.add(upload, sha256, bad=True)
                return Outcome(upload.name, QUARANTINED, sha256, reason)
            storage.publish_folder(prepared, target, RESULT)
        done = read_published(target) or {}
    ledger.add(upload, sha256, bad=False)
    # A retry finds what an earlier attempt of the same run has published: it still is this run's work.
    ours = (done.get("run"), done.get("upload")) == (run, upload.name)
    page = f"{sha256}/index.html"
    return Outcome(upload.name, SCORED if ours else ALREADY, sha256, "", done["frames"], done["flips"], page)


def _prepare(
    upload: Upload,
    files: list[LocalFile],
    sha256: str,
    folder: Path,
    predictor: NamedPredictor,
    model: SequenceModel,
    run: str,
    plan: Stills,
) -> str | None:
    """Write an upload's result into `folder`; return the reason when it cannot be scored."""
    try:
        output = StillsOutput(plan, folder / STILLS)
        scores, stills = read_events(upload.kind, files, predictor, model, output)
    except DataError as error:
        reason = error.message
        for file in files:
            reason = reason.replace(str(file.path), file.name)
        return media.printable(reason)
    flips, probabilities = scores.flips, np.array(scores.probabilities, np.float32)
    head = {
        "upload": upload.name,
        "kind": upload.kind,
        "sha256": sha256,
        "model": predictor.name,
        "model_version": predictor.version,
        "threshold": float(predictor.threshold),
    }
    result = {
        **head,
        "bytes": sum(file.size for file in upload.files),
        "frames": len(probabilities),
        "broken_frames": sum(error is not None for error in scores.errors),
        "flip_frames": int((probabilities >= predictor.threshold).sum()),
        "review_frames": sum(predictor.to_review(probability) for probability in scores.probabilities),
        "flips": len(flips),
        "holds_flip": None if upload.kind == IMAGE else bool(flips),
        "stills": len(stills),
        "duration_s": scores.times_s[-1],
        "ignored_files": [f.name for f in files if upload.kind == SEQUENCE and not media.is_image(f.name)][:LISTED],
        "run": run,
        "scored_at": utc_now(),
    }
    pq.write_table(frame_table(scores, predictor), folder / "frames.parquet")
    found = {"events": _events(upload.kind, flips), "stills": [_still(still) for still in stills]}
    write_json(folder / "events.json", {**head, "frames": len(probabilities), **found})
    shown = [(still, encode_thumbnail(folder / STILLS / still.file)) for still in stills[:SHOWN]]
    values = page_values(scores, flips, upload.kind, predictor.threshold)
    page = render_page("scoring.html.j2", result=result, stills=shown, **values)
    (folder / "index.html").write_bytes(page)
    write_json(folder / RESULT, result)
    return None


def _still(still: Still) -> dict[str, Any]:
    return {**asdict(still), "file": f"{STILLS}/{still.file}", "reason": still.reason}


def _events(kind: str, flips: list[Flip]) -> list[dict[str, Any]]:
    events = [asdict(flip) for flip in flips]
    if kind == SEQUENCE:  # the seconds were assumed
        events = [{**event, "start_s": None, "end_s": None} for event in events]
    return events
