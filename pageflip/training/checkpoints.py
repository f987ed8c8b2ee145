"""Training on the pack: batches from pageflip.training.batches, augmented on the device, the loop by Lightning.

A run is fixed by its seed, however often it is killed: everything random in an epoch is drawn from (seed, epoch), and
the checkpoint of each epoch's end holds the rest.
"""

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from pageflip.base import storage
from pageflip.base.files import sha256_of
from pageflip.base.imports import SOURCE, import_closure
from pageflip.frames.assignment import ASSIGNMENT_FILE
from pageflip.frames.pack import INDEX_FILE

LAST = "last.ckpt"
PACKAGES = ("pageflip/training/", "pageflip/networks/")


class StoredCheckpoints(TorchCheckpointIO):
    """Checkpoints written to a folder or s3:// address in one piece, with the errors of storage.

    Lightning's own moves them from the system's temporary folder: a disk that is full, or a kill at that moment, would
    leave half a checkpoint in the place of the last good one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        storage.write_bytes(str(path), buffer.getvalue())

    def load_checkpoint(self, path: str, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return torch.load(io.BytesIO(storage.read_bytes(str(path))), map_location="cpu", weights_only=True)


def delete_checkpoints(checkpoints: str) -> None:
    """Remove what `train_network` left for a killed run, once its result is safe."""
    for file in storage.list_files(checkpoints):
        storage.delete(file.url)
    folder = storage.local_path(checkpoints)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def resume_from(checkpoints: str) -> str | None:
    """The checkpoint that a killed run of this very training left; one that cannot be read is removed."""
    last = storage.join(checkpoints, LAST)
    if not storage.exists(last):
        return None
    content = storage.read_bytes(last)
    try:
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a half-written file can fail in any way
        print(f"train: the checkpoint {last} cannot be read ({error}): starting anew", flush=True)
        delete_checkpoints(checkpoints)
        return None
    print(f"train: going on from the checkpoint {last}", flush=True)
    return last


def training_key(chosen: dict, frames: Path, split: Path) -> str:
    """Name this very training: the same frames, split, parameters and code share checkpoints, nothing else does."""
    digest = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode())
    for file in (frames / INDEX_FILE, frames / "pack.json", split / ASSIGNMENT_FILE, *training_code()):
        digest.update(sha256_of(file).encode())
    return digest.hexdigest()[:32]


def training_code() -> list[Path]:
    """Return the files of `training` and `networks` that the training loop imports, directly or indirectly.

    A checkpoint, and a fold of the protocol benchmark, is used again only where all of them are unchanged.
    """
    closure = import_closure("pageflip/training/loop.py")
    return sorted(SOURCE / file for file in closure if file.startswith(PACKAGES))
