"""The ledger of uploads seen before, and of attempts to score them that never ended."""

import contextlib
import functools
import hashlib
import itertools
import json
import uuid
from collections.abc import Iterator

from pageflip.base import storage
from pageflip.base.errors import PageflipError
from pageflip.base.storage import join
from pageflip.scoring.uploads import Upload

MOST_ATTEMPTS = 3  # an upload that ends the process that often is not tried again


class Ledger:
    """Record of the uploads seen before, so that an unchanged one need not be read again.

    One tiny file per address and fingerprint; all that is looked up stands in its name, so that one listing tells all.
    It is listed when something is first looked up. Losing the ledger costs time only: the results themselves say what
    has been scored.

        ledger/KEY-SHA256-good.json, ledger/KEY-SHA256-bad.json
        ledger/attempts/KEY-NUMBER   while an upload is being scored: see `attempt`
    """

    def __init__(self, results_url: str) -> None:
        self._url = join(results_url, "ledger")
        self._noted: dict[str, tuple[str, bool]] = {}
        self._lost: dict[str, list[str]] = {}  # marks of attempts that never ended, by key

    @functools.cached_property
    def _listed(self) -> dict[str, tuple[str, bool]]:
        names = [file.name.removesuffix(".json").split("-") for file in storage.list_files(self._url)]
        return {parts[0]: (parts[1], parts[2] == "bad") for parts in names if len(parts) == 3}

    def find(self, upload: Upload) -> tuple[str, bool] | None:
        """SHA-256 of the upload's content and whether it was found bad; None when it is new or has changed."""
        key = self._key(upload)
        return self._noted.get(key) or self._listed.get(key)

    def add(self, upload: Upload, sha256: str, *, bad: bool) -> None:
        """Note an upload that has been dealt with, and forget the attempts at it."""
        key = self._key(upload)
        content = {"upload": upload.name, "kind": upload.kind, "fingerprint": upload.fingerprint, "sha256": sha256}
        storage.write_bytes(
            join(self._url, f"{key}-{sha256}-{'bad' if bad else 'good'}.json"), json.dumps(content).encode()
        )
        self._noted[key] = (sha256, bad)
        for mark in self._lost.pop(key, ()):
            storage.delete(mark)

    @contextlib.contextmanager
    def attempt(self, upload: Upload) -> Iterator[int]:
        """Leave a mark while an upload is being scored; gives the number of earlier attempts that never ended.

        A mark that stays tells of a process that was killed, crashed or met an unforeseen error, or of one that is at
        it elsewhere: running attempts of this process are not counted. After MOST_ATTEMPTS, no mark is left.
        """
        key, mine = self._key(upload), None
        lost = self._lost[key] = []
        numbers = itertools.count(1)
        while mine is None and len(lost) < MOST_ATTEMPTS:
            mark = join(self._url, "attempts", f"{key}-{next(numbers)}")
            if storage.create_bytes(mark, _process_token()):
                mine = mark
                continue
            with contextlib.suppress(FileNotFoundError):  # that attempt has just ended
                if storage.read_bytes(mark) != _process_token():
                    lost.append(mark)
        try:
            yield len(lost)
        except (PageflipError, OSError):
            raise
        except Exception:  # unforeseen, and it ends the process as a crash does: the mark stays
            mine = None
            raise
        finally:
            if mine:
                storage.delete(mine)

    @staticmethod
    def _key(upload: Upload) -> str:
        text = json.dumps([upload.url, upload.kind, upload.fingerprint])
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@functools.cache
def _process_token() -> bytes:
    return uuid.uuid4().hex.encode()
