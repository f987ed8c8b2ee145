"""Quarantine of uploads that cannot be scored, or at which the process ended three times.

    RESULTS/quarantine/SHA256/upload/...     copies of the files
    RESULTS/quarantine/SHA256/reason.json    why, when and in which run

Such an upload is not tried again until it changes, or its folder there is removed.
"""

import shutil

from pageflip.base import storage
from pageflip.base.files import write_json
from pageflip.base.storage import join
from pageflip.footage.media import LocalFile
from pageflip.scoring.results import REASON, utc_now
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
