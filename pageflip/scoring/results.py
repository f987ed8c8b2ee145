"""Addresses and names of published results.

    RESULTS/MODEL/vVERSION/SHA256/result.json    written last, with the other files of that upload beside it

Everything published depends on the upload (its name included) and the model alone, except `result.json` and
`reason.json`, which also say when and in which run: attempts that overlap write the same bytes.
"""

import datetime
import json
from dataclasses import dataclass
from typing import Any

from pageflip.base import storage
from pageflip.base.errors import ConfigError
from pageflip.base.storage import join

RESULT, REASON = "result.json", "reason.json"
STILLS = "stills"  # folder of the page stills

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
    """Result of one upload. `page` is relative to the model version's folder."""

    name: str
    status: str
    sha256: str = ""
    reason: str = ""
    frames: int = 0
    flips: int = 0
    page: str = ""


@dataclass(frozen=True)
class Published:
    """Published results of a model version: number of uploads, and the newest of their `result.json`."""

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
    """Return the address of the results of a model version.

    Raises:
        ConfigError: the model has no version, so that its results could not be told from another's.
    """
    if not model_version:
        raise ConfigError(
            f"the model {model_name} has no version, and results are kept by version",
            "score uploads with a registered model: `champion` or a version number.",
        )
    return join(results_url, model_name, f"v{model_version}")


def read_published(target: str) -> dict[str, Any] | None:
    try:
        return json.loads(storage.read_bytes(join(target, RESULT)))
    except FileNotFoundError:
        return None


def utc_now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
