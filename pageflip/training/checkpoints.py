"""Checkpoints of an unfinished training: where they are stored, and when they may be resumed."""

import hashlib
import io
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from pageflip.base import settings, storage
from pageflip.base.files import sha256_of
from pageflip.base.imports import SOURCE, import_closure
from pageflip.frames.assignment import ASSIGNMENT_FILE
from pageflip.frames.pack import FACTS_FILE, INDEX_FILE

LAST = "last.ckpt"
PACKAGES = ("pageflip/training/", "pageflip/networks/")

log = logging.getLogger(__name__)


class StoredCheckpoints(TorchCheckpointIO):
    """Checkpoints in a folder or at an s3:// address, written atomically and with the errors of `storage`.

    Lightning's own plugin moves a checkpoint from the system's temporary folder: a full disk, or a kill during the
    move, would replace the last good checkpoint with half of one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str, storage_options: Any = None) -> None:
        """Write a checkpoint to a path or address."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        storage.write_bytes(str(path), buffer.getvalue())

    def load_checkpoint(self, path: str, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint to the CPU, as data and never as code, whatever the arguments."""
        return torch.load(io.BytesIO(storage.read_bytes(str(path))), map_location="cpu", weights_only=True)


def checkpoint_address(key: str) -> str:
    """Return the folder or s3:// address in the run store for the checkpoints of a training."""
    store = settings.store_url()
    folder = storage.local_path(store)  # Lightning would take a file:// address for a relative path
    return storage.join(str(folder) if folder else store, "checkpoints", key)


def delete_checkpoints(checkpoints: str) -> None:
    """Delete the checkpoints of a training whose result is saved."""
    for file in storage.list_files(checkpoints):
        storage.delete(file.url)
    folder = storage.local_path(checkpoints)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def find_checkpoint(checkpoints: str) -> str | None:
    """Return the path or address of the last checkpoint, or None if there is none; delete an unreadable one."""
    last = storage.join(checkpoints, LAST)
    if not storage.exists(last):
        return None
    content = storage.read_bytes(last)
    try:
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a half-written file raises any type
        log.warning("the checkpoint %s cannot be read (%s); training restarts", last, error)
        delete_checkpoints(checkpoints)
        return None
    log.info("train: resuming from the checkpoint %s", last)
    return last


def training_key(facts: dict, frames: Path, split: Path) -> str:
    """Return the name of a training, which is unique to its facts, frames, split and code.

    Args:
        facts: all parameters that its result depends on, as JSON.
        frames: folder of the pack.
        split: folder of the assignment.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for file in (frames / INDEX_FILE, frames / FACTS_FILE, split / ASSIGNMENT_FILE, *training_code()):
        digest.update(sha256_of(file).encode())
    return digest.hexdigest()[:32]


def training_code() -> list[Path]:
    """Return the files of `training` and `networks` that the training loop imports, directly or indirectly.

    A checkpoint, or a fold of the protocol benchmark, is reused only if none of them has changed.
    """
    closure = import_closure("pageflip/training/loop.py")
    return sorted(SOURCE / file for file in closure if file.startswith(PACKAGES))
