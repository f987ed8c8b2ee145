"""Batches of frames for training: gathered in a GPU's memory, or read from the pack's memory map and prefetched.

Frames that fit into a share of a GPU's free memory are copied there once. Otherwise each batch is read from the memory
map into pinned memory, and copied while the GPU works on the batch before. Order and content are the same either way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

EPOCH_STRIDE = 10_007  # keeps the seeds of neighbouring trainings and epochs apart
CHUNK = 512  # rows per copy to the device

Part = tuple[np.ndarray, np.ndarray]  # rows of the pack int [M], targets [M]: 0/1, or probabilities
Batch = tuple[Tensor, Tensor]  # frames uint8 [N, height, width, 3], targets float [N]


@dataclass(frozen=True)
class TrainingData:
    """A pack of frames, uint8 [N, height, width, 3], and its parts for training and validation."""

    frames: np.ndarray
    train: Part
    val: Part


class PackRows(Dataset):
    """Rows of a pack, read one batch at a time from its memory map."""

    def __init__(self, frames: np.ndarray, rows: np.ndarray, targets: np.ndarray) -> None:
        self.frames, self.rows, self.targets = frames, rows, targets

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, positions: list[int]) -> Batch:
        """Read a batch."""
        frames = np.ascontiguousarray(self.frames[self.rows[positions]])
        return torch.from_numpy(frames), torch.from_numpy(self.targets[positions].astype(np.float32))


class DeviceRows(Dataset):
    """Rows of a pack, gathered from a copy in the device's memory."""

    def __init__(self, frames: np.ndarray, rows: np.ndarray, targets: np.ndarray, device: torch.device) -> None:
        self.frames = torch.empty((len(rows), *frames.shape[1:]), dtype=torch.uint8, device=device)
        for start in range(0, len(rows), CHUNK):
            chunk = np.ascontiguousarray(frames[rows[start : start + CHUNK]])
            self.frames[start : start + len(chunk)] = torch.from_numpy(chunk).to(device)
        self.targets = torch.from_numpy(targets.astype(np.float32)).to(device)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitems__(self, positions: list[int]) -> Batch:
        """Gather a batch."""
        index = torch.tensor(positions, device=self.frames.device)
        return self.frames.index_select(0, index), self.targets.index_select(0, index)


class EpochShuffle(Sampler[int]):
    """A shuffle drawn from (seed, epoch), which is the same after a resume.

    Each of several processes takes an equal share; fewer frames than there are processes are left out of an epoch.
    """

    def __init__(self, count: int, seed: int, process: int = 0, processes: int = 1) -> None:
        self.count, self.seed, self.epoch = count // processes, seed, 0
        self.process, self.processes, self.total = process, processes, count

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this at the start of each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * EPOCH_STRIDE + self.epoch)
        order = torch.randperm(self.total, generator=generator).tolist()
        return iter(order[self.process : self.count * self.processes : self.processes])


class DevicePrefetcher:
    """A loader of pinned batches that copies the next batch to a CUDA device while the current one is in use."""

    def __init__(self, loader: DataLoader, device: torch.device) -> None:
        self.loader, self.device = loader, device
        self.sampler = loader.sampler  # Lightning looks for set_epoch here
        self.batch_size = loader.batch_size

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        stream = torch.cuda.Stream(self.device)
        pending = None
        for batch in self.loader:
            with torch.cuda.stream(stream):
                current = [tensor.to(self.device, non_blocking=True) for tensor in batch], stream.record_event()
            if pending:
                yield self._wait(*pending)
            pending = current
        if pending:
            yield self._wait(*pending)

    def _wait(self, batch: list[Tensor], event: torch.cuda.Event) -> Batch:
        current = torch.cuda.current_stream(self.device)
        current.wait_event(event)
        for tensor in batch:
            tensor.record_stream(current)  # it was allocated on the other stream
        return batch[0], batch[1]


def fits_on_device(frames: np.ndarray, count: int, share: float, device: torch.device) -> bool:
    """Return whether `count` frames of a pack fit into a share of the device's free memory; never on a CPU."""
    if device.type != "cuda" or not share:
        return False
    return count * frames[0].nbytes <= share * torch.cuda.mem_get_info(device)[0]


def make_loader(
    frames: np.ndarray,
    part: Part,
    batch_size: int,
    *,
    device: torch.device,
    resident: bool,
    sampler: EpochShuffle | None = None,
) -> DataLoader | DevicePrefetcher:
    """Return a loader of batches of a part.

    Args:
        frames: the pack, uint8 [N, height, width, 3].
        part: rows and targets.
        batch_size: frames in a batch.
        device: where the batches are used.
        resident: copy the part to the device now, and gather the batches there.
        sampler: the order; None keeps that of the part.
    """
    data = DeviceRows(frames, *part, device) if resident else PackRows(frames, *part)
    prefetch = device.type == "cuda" and not resident
    # no worker processes: reading a batch from the memory map takes less time than handing it over
    loader = DataLoader(
        data, batch_size=batch_size, sampler=sampler, collate_fn=_identity, num_workers=0, pin_memory=prefetch
    )
    return DevicePrefetcher(loader, device) if prefetch else loader


def _identity(batch: Any) -> Any:
    return batch
