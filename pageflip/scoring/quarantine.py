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

import shutil

from pageflip.base import storage
from pageflip.base.storage import join
from pageflip.footage.media import LocalFile
from pageflip.scoring.results import REASON, utc_now, write_json
from pageflip.scoring.uploads import Upload


def quarantine_upload(
    upload: Upload, files: list[LocalFile], sha256: str, reason: str, results_url: str, run: str
) -> None:
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
            "when": utc_now(),
        }
        write_json(prepared / REASON, facts)
        storage.publish_folder(prepared, target, REASON)


def quarantine_url(results_url: str, sha256: str) -> str:
    """The folder of an upload in quarantine."""
    return join(results_url, "quarantine", sha256)
