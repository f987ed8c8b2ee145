"""Score uploads: frame table, flips and a page for each, published once for its content and the model version.

    RESULTS/MODEL/vVERSION/SHA256/   frames.parquet, events.json, stills/, index.html, and last result.json
    RESULTS/MODEL/vVERSION/index.html  all results of that version
    RESULTS/quarantine/SHA256/       upload/... (the files), reason.json
    RESULTS/ledger/                  see pageflip.scoring.ledger.Ledger

An upload that cannot be scored, or at which the process ended three times, goes into quarantine and is not tried again
until it changes, or its folder there is removed. Everything published depends on the upload (its name included) and the
model alone, except `result.json` and `reason.json`, which also say when and in which run: attempts that overlap write
the same bytes.
"""

import base64
import datetime
import json
import shutil
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageOps

from pageflip.base import storage
from pageflip.base.errors import ConfigError, DataError, UnavailableError
from pageflip.base.storage import join
from pageflip.events.flip import Flip
from pageflip.events.page_stills import folder_stills, video_stills
from pageflip.events.reader import holds_flip
from pageflip.events.stills import Still
from pageflip.events.temporal import THRESHOLD
from pageflip.footage import media
from pageflip.footage.frame_scores import FrameScores, Predicts, frame_table, score_files
from pageflip.footage.media import IMAGE, SEQUENCE, VIDEO, LocalFile
from pageflip.params.scoring import Stills
from pageflip.scoring import uploads
from pageflip.scoring.ledger import MOST_ATTEMPTS, Ledger
from pageflip.scoring.uploads import Upload

RESULT, REASON = "result.json", "reason.json"
STILLS = "stills"  # folder of the page stills
THUMBNAIL = 180  # pixels of the longer side of a still on the page
TIMELINE_STEPS = 480  # a timeline of any length is drawn with this many pairs of lowest and highest probability
LISTED = 500  # rows of a page's table; the files beside it hold them all
SHOWN = 120  # stills on a page

SCORED, ALREADY, QUARANTINED, CHANGED, GONE, UNREADABLE = (
    "scored",
    "already_scored",
    "quarantined",
    "changed",
    "gone",
    "unreadable",
)


@dataclass(frozen=True)
class Outcome:
    """What became of one upload. `page` is relative to the model version's folder."""

    name: str
    status: str
    sha256: str = ""
    reason: str = ""
    frames: int = 0
    flips: int = 0
    page: str = ""


@dataclass(frozen=True)
class Published:
    """What has been published with a model version: how many uploads, and the newest of their `result.json`."""

    place: str
    count: int
    newest: list[dict[str, Any]]


def published_with(results_url: str, model_name: str, model_version: str, newest: int) -> Published:
    """The uploads that were scored with a model version, the newest first; only those that are shown are read.

    Raises:
        UnavailableError: the store does not answer.
    """
    place = version_url(results_url, model_name, model_version)
    markers = [file for file in storage.list_files(place) if file.name.endswith("/" + RESULT)]
    markers.sort(key=lambda file: (file.changed, file.name), reverse=True)
    results = [json.loads(content) for content in storage.read_many(marker.url for marker in markers[:newest])]
    results.sort(key=lambda result: (result["scored_at"], result["upload"]), reverse=True)
    return Published(place, len(markers), results)


def version_url(results_url: str, model_name: str, model_version: str | None) -> str:
    """Where the results of a model version are published.

    Raises:
        ConfigError: the model has no version, so that its results could not be told from another's.
    """
    if not model_version:
        raise ConfigError(
            f"the model {model_name} has no version, and results are kept by version",
            "score uploads with a registered model: `champion` or a version number.",
        )
    return join(results_url, model_name, f"v{model_version}")


def score_upload(
    url: str,
    kind: str,
    fingerprint: str,
    *,
    predictor: Predicts,
    results_url: str,
    ledger: Ledger,
    run: str,
    stills: Stills | None = None,
) -> Outcome:
    """Score one upload and publish its result, or put it into quarantine; harmless to repeat and to run twice at once.

    An upload that is no longer what the fingerprint says is left for the next run.

    Args:
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
            return _score(upload, files, predictor, results_url, ledger, run, stills or Stills(), hopeless=hopeless)
    except FileNotFoundError:
        return Outcome(name, GONE)
    except OSError as error:
        raise UnavailableError(f"scoring {name} stopped: {error}", "see to the disk, then run it again.") from error


def _score(
    upload: Upload,
    files: list[LocalFile],
    predictor: Predicts,
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
    done = _published(target)
    if done is None:
        with storage.staging_folder(target) as staging:
            prepared = staging / "result"
            prepared.mkdir()
            if hopeless:
                reason = f"scoring it ended the process {MOST_ATTEMPTS} times"
            else:
                reason = _prepare(upload, files, sha256, prepared, predictor, run, stills)
            now = uploads.look_again(upload.url, upload.kind)
            if now is None or now.fingerprint != upload.fingerprint:  # so that what was read was not the upload
                return Outcome(upload.name, CHANGED if now else GONE)
            if reason is not None:
                _quarantine(upload, files, sha256, reason, results_url, run)
                ledger.add(upload, sha256, bad=True)
                return Outcome(upload.name, QUARANTINED, sha256, reason)
            storage.publish_folder(prepared, target, RESULT)
        done = _published(target) or {}
    ledger.add(upload, sha256, bad=False)
    # A retry finds what an earlier attempt of the same run has published: it still is this run's work.
    ours = (done.get("run"), done.get("upload")) == (run, upload.name)
    page = f"{sha256}/index.html"
    return Outcome(upload.name, SCORED if ours else ALREADY, sha256, "", done["frames"], done["flips"], page)


def _published(target: str) -> dict[str, Any] | None:
    try:
        return json.loads(storage.read_bytes(join(target, RESULT)))
    except FileNotFoundError:
        return None


def _prepare(
    upload: Upload,
    files: list[LocalFile],
    sha256: str,
    folder: Path,
    predictor: Predicts,
    run: str,
    plan: Stills,
) -> str | None:
    """Write an upload's result into `folder`; return the reason when it cannot be scored."""
    try:
        scores = score_files(upload.kind, files, predictor)
        flips = scores.flips
        stills = _keep_stills(upload.kind, files, scores, flips, plan, folder)
    except DataError as error:
        reason = error.message
        for file in files:
            reason = reason.replace(str(file.path), file.name)
        return media.printable(reason)
    probabilities = np.array(scores.probabilities, np.float32)
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
        "holds_flip": None if upload.kind == IMAGE else holds_flip(flips),
        "stills": len(stills),
        "duration_s": scores.times_s[-1],
        "ignored_files": [f.name for f in files if upload.kind == SEQUENCE and not media.is_image(f.name)][:LISTED],
        "run": run,
        "scored_at": _now(),
    }
    pq.write_table(frame_table(scores, predictor), folder / "frames.parquet")
    found = {"events": _events(upload.kind, flips), "stills": [_still(still) for still in stills]}
    _write_json(folder / "events.json", {**head, "frames": len(probabilities), **found})
    shown = [(still, _thumbnail(folder / STILLS / still.file)) for still in stills[:SHOWN]]
    values = _page(scores, flips, upload.kind, predictor.threshold)
    page = _render("scoring.html.j2", result=result, stills=shown, **values)
    (folder / "index.html").write_bytes(page)
    _write_json(folder / RESULT, result)
    return None


# --- stills and events


def _keep_stills(
    kind: str, files: list[LocalFile], scores: FrameScores, flips: list[Flip], plan: Stills, folder: Path
) -> list[Still]:
    """Write the page stills below `folder`; a single picture has none."""
    if kind == IMAGE:
        return []
    (folder / STILLS).mkdir()
    if kind == VIDEO:
        return video_stills(files[0].path, flips, scores.in_sequence, scores.times_s, plan, folder / STILLS)
    paths = [file.path for file in files if media.is_image(file.name)]
    return folder_stills(paths, flips, scores.in_sequence, plan, folder / STILLS)


def _still(still: Still) -> dict[str, Any]:
    return {**asdict(still), "file": f"{STILLS}/{still.file}", "reason": still.reason}


def _thumbnail(path: Path) -> str:
    """A small JPEG of a still, in base64."""
    buffer = BytesIO()
    with Image.open(path) as image:
        small = ImageOps.exif_transpose(image).convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        small.save(buffer, "JPEG", quality=70)
    return base64.b64encode(buffer.getvalue()).decode()


def _events(kind: str, flips: list[Flip]) -> list[dict[str, Any]]:
    events = [asdict(flip) for flip in flips]
    if kind == SEQUENCE:  # the seconds were assumed
        events = [{**event, "start_s": None, "end_s": None} for event in events]
    return events


# --- quarantine


def _quarantine(upload: Upload, files: list[LocalFile], sha256: str, reason: str, results_url: str, run: str) -> None:
    target = quarantine_url(results_url, sha256)
    if storage.exists(join(target, REASON)):
        return
    with storage.staging_folder(target) as staging:
        prepared = staging / "bad"
        prepared.mkdir()
        for file in files:
            parts = [part if part.strip(".") else "_" for part in file.name.split("/")]  # a key of S3 may hold `..`
            copy = prepared.joinpath("upload", *parts)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.path, copy)
        facts = {
            "name": upload.name,
            "kind": upload.kind,
            "sha256": sha256,
            "reason": reason,
            "run": run,
            "when": _now(),
        }
        _write_json(prepared / REASON, facts)
        storage.publish_folder(prepared, target, REASON)


def quarantine_url(results_url: str, sha256: str) -> str:
    """The folder of an upload in quarantine."""
    return join(results_url, "quarantine", sha256)


# --- pages


def publish_index(results_url: str, model_name: str, model_version: str, outcomes: list[dict[str, Any]]) -> str:
    """Write the page over all results of a model version, the newest first, and return its address.

    A page that is newer than every result stays when there is nothing to add.

    Args:
        outcomes: of the run that has just ended; those in quarantine or left are shown with their reason.
    """
    folder = version_url(results_url, model_name, model_version)
    address = join(folder, "index.html")
    files = storage.list_files(folder)
    markers = [file for file in files if file.name.endswith("/" + RESULT)]
    pages = [file.changed for file in files if file.name == "index.html"]
    if pages and not outcomes and all(marker.changed < pages[0] for marker in markers):
        return address
    results = [json.loads(content) for content in storage.read_many(marker.url for marker in markers)]
    results.sort(key=lambda result: (result["scored_at"], result["upload"]), reverse=True)
    problems = [outcome for outcome in outcomes if outcome["status"] not in (SCORED, ALREADY)]
    page = _render(
        "scoring_index.html.j2",
        model=model_name,
        version=model_version,
        results=results[:LISTED],
        unlisted=max(0, len(results) - LISTED),
        frames=sum(result["frames"] for result in results),
        flips=sum(result["flips"] for result in results),
        problems=problems,
    )
    storage.write_bytes(address, page)
    return address


def _page(scores: FrameScores, flips: list[Flip], kind: str, threshold: float) -> dict[str, Any]:
    broken = [(i, scores.names[i], error) for i, error in enumerate(scores.errors) if error]
    return {
        "flips": flips[:LISTED],
        "timed": kind == VIDEO,
        "names": scores.names,
        "broken": broken[:LISTED],
        "listed": LISTED,
        "line": timeline(scores.in_sequence),
        "line_at": THRESHOLD,
        "last": len(scores.names) - 1,
        "probability": scores.probabilities[0],
        "threshold": threshold,
    }


def timeline(probabilities: np.ndarray) -> str:
    """The points of an SVG polyline over 1000 x 100: low and high of each step, so that no peak is lost."""
    count = len(probabilities)
    points = []
    for part in np.array_split(np.arange(count), min(count, TIMELINE_STEPS)):
        known = part[np.isfinite(probabilities[part])]
        if not len(known):
            continue
        lowest, highest = known[probabilities[known].argmin()], known[probabilities[known].argmax()]
        for index in sorted({int(lowest), int(highest)}):
            points.append(f"{1000 * index / max(count - 1, 1):.1f},{100 * (1 - probabilities[index]):.1f}")
    return " ".join(points)


def _render(template: str, **values: Any) -> bytes:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pageflip", "reports/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = _clock
    return environment.get_template(template).render(**values).encode("utf-8", "backslashreplace")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
