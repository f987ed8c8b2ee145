"""Batches of frames for training: from memory that the device holds, or from the pack's memory map, copied ahead.

Where a part of the free memory of a GPU is enough for the rows that are trained and validated on, they are copied there
once. Otherwise each batch is read from the memory map into pinned memory and copied while the device works on the one
before. Either way the same batches come in the same order.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

EPOCH_STRIDE = 10_007  # keeps the seeds of neighbouring runs and epochs apart
CHUNK = 512  # rows that are copied to the device at once

Part = tuple[np.ndarray, np.ndarray]  # rows of the pack int [M], targets [M]: 0/1, or probabilities
Batch = tuple[Tensor, Tensor]  # frames uint8 [N, height, width, 3], targets float [N]


class PackRows(Dataset):
    """The chosen rows of a pack, fetched a batch at a time: (frames uint8 [N, height, width, 3], targets float [N])."""

    def __init__(self, frames: np.ndarray, rows: np.ndarray, targets: np.ndarray) -> None:
        self.frames, self.rows, self.targets = frames, rows, targets

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, positions: list[int]) -> Batch:
        """A whole batch in one read of the memory map."""
        frames = np.ascontiguousarray(self.frames[self.rows[positions]])
        return torch.from_numpy(frames), torch.from_numpy(self.targets[positions].astype(np.float32))


class DeviceRows(Dataset):
    """The same, from a copy of the rows that the device keeps."""

    def __init__(self, frames: np.ndarray, rows: np.ndarray, targets: np.ndarray, device: torch.device) -> None:
        self.frames = torch.empty((len(rows), *frames.shape[1:]), dtype=torch.uint8, device=device)
        for start in range(0, len(rows), CHUNK):
            chunk = np.ascontiguousarray(frames[rows[start : start + CHUNK]])
            self.frames[start : start + len(chunk)] = torch.from_numpy(chunk).to(device)
        self.targets = torch.from_numpy(targets.astype(np.float32)).to(device)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitems__(self, positions: list[int]) -> Batch:
        """A whole batch, gathered on the device."""
        wanted = torch.tensor(positions, device=self.frames.device)
        return self.frames.index_select(0, wanted), self.targets.index_select(0, wanted)


class EpochShuffle(Sampler[int]):
    """A shuffle drawn from (seed, epoch), so that a resumed run sees the order it would have seen.

    Of several processes each takes an equal share of it; at most as many frames as there are processes but one are left
    out of an epoch.
    """

    def __init__(self, count: int, seed: int, process: int = 0, processes: int = 1) -> None:
        self.count, self.seed, self.epoch = count // processes, seed, 0
        self.process, self.processes, self.total = process, processes, count

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * EPOCH_STRIDE + self.epoch)
        order = torch.randperm(self.total, generator=generator).tolist()
        return iter(order[self.process : self.count * self.processes : self.processes])


class CopiedAhead:
    """A loader of pinned batches whose next batch is on its way to a CUDA device while the last one is worked on."""

    def __init__(self, loader: DataLoader, device: torch.device) -> None:
        self.loader, self.device = loader, device
        self.sampler = loader.sampler  # where Lightning looks for set_epoch
        self.batch_size = loader.batch_size

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        stream = torch.cuda.Stream(self.device)
        waiting = None
        for batch in self.loader:
            with torch.cuda.stream(stream):
                coming = [tensor.to(self.device, non_blocking=True) for tensor in batch], stream.record_event()
            if waiting:
                yield self._arrived(*waiting)
            waiting = coming
        if waiting:
            yield self._arrived(*waiting)

    def _arrived(self, batch: list[Tensor], event: torch.cuda.Event) -> Batch:
        current = torch.cuda.current_stream(self.device)
        current.wait_event(event)
        for tensor in batch:
            tensor.record_stream(current)  # its memory was taken on the other stream
        return batch[0], batch[1]


def stays_on_device(frames: np.ndarray, count: int, share: float, device: torch.device) -> bool:
    """Whether `count` frames of a pack take at most a share of the device's free memory; never on a CPU."""
    if device.type != "cuda" or not share:
        return False
    return count * frames[0].nbytes <= share * torch.cuda.mem_get_info(device)[0]


def make_loader(
    frames: np.ndarray,
    part: Part,
    *,
    batch_size: int,
    device: torch.device,
    resident: bool,
    sampler: EpochShuffle | None = None,
) -> DataLoader | CopiedAhead:
    """Batches of a part of the pack, in the sampler's order, or in its own.

    Args:
        resident: copy the part to the device now, and gather the batches there.
    """
    data = DeviceRows(frames, *part, device) if resident else PackRows(frames, *part)
    ahead = device.type == "cuda" and not resident
    # the memory map hands over a batch in well under a millisecond: worker processes would only cost
    loader = DataLoader(
        data, batch_size=batch_size, sampler=sampler, collate_fn=_as_it_is, num_workers=0, pin_memory=ahead
    )
    return CopiedAhead(loader, device) if ahead else loader


def _as_it_is(batch: Any) -> Any:
    return batch
