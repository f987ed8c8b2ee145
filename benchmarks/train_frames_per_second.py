"""Training speed of the default network on this machine's CPU.

Measured: frames per second of the training epochs of `pageflip.training.loop.train_network`, with the settings of
params.yaml on the CPU, on a pack of 240 drawn frames (120 pictures of 1080x1920, twice each); median of the epochs
after the first. In the detail: the same steps in a bare loop over the pack's loader, alternating with the same loop
over batches in memory; the shares of loader and augmentation in the epoch; and the floating-point operations per frame
(forward and backward, as torch.utils.flop_counter counts them), which give the speed in GFLOP/s.

    python -m benchmarks train_frames_per_second
"""

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.measuring import alternate, drawn_frames, file_sizes, machine, repeated, silence, step_flop
from benchmarks.results import Result
from pageflip.base.settings import project_root
from pageflip.frames.names import LABELS
from pageflip.frames.pack import open_pack
from pageflip.frames.pack_building import build_pack
from pageflip.networks.build import build_network
from pageflip.params.all import load_params
from pageflip.params.training import Train
from pageflip.training.augmentation import augment_frames
from pageflip.training.batches import EpochShuffle, PackRows, TrainingData
from pageflip.training.loop import train_network
from pageflip.training.recipe import TrainingRecipe

NETWORK = "cnn"
REPETITIONS, EPOCHS, ROUNDS = 2, 6, 3
VALIDATION = 64


def measure() -> Result:
    """Train for a few epochs, then profile the parts of an epoch."""
    params = load_params(project_root() / "params.yaml")
    with repeated(drawn_frames(), REPETITIONS) as raw, TemporaryDirectory(prefix="pageflip-bench-") as place:
        pack = Path(place) / "pack"
        with silence():
            build_pack(raw, pack, width=params.prepare.width, height=params.prepare.height)
        frames, index = open_pack(pack)
        targets = (index["label"] == LABELS[1]).to_numpy().astype(np.int64)
        speeds = _train(frames, targets, params.train, place)
        detail = {
            "machine": machine() | {"threads": torch.get_num_threads()},
            "batch_size": params.train.fit.batch_size,
            "pixels": [params.prepare.width, params.prepare.height],
            "pack_megabytes": frames.nbytes / 1e6,
            "raw": file_sizes(raw),
            "frames_per_second_of_each_epoch": speeds,
            **_profile(frames, targets, params.train),
        }
    speed = median(speeds[1:])
    detail["gflop_per_second"] = speed * detail["mflop_per_frame"] / 1000
    return Result("train_frames_per_second", speed, "frames/s", True, detail)


def _train(frames: np.ndarray, targets: np.ndarray, params: Train, place: str) -> list[float]:
    rows, records = np.arange(len(frames)), []
    recipe = TrainingRecipe.from_params(params, NETWORK, epochs=EPOCHS, patience=EPOCHS, accelerator="cpu")
    val = np.linspace(0, len(rows) - 1, VALIDATION).astype(int)
    with silence():
        data = TrainingData(frames, (rows, targets), (rows[val], targets[val]))
        train_network(data, recipe, checkpoints=f"{place}/checkpoints", on_epoch=records.append)
    return [record["frames_per_second"] for record in records]


def _profile(frames: np.ndarray, targets: np.ndarray, params: Train) -> dict[str, float]:
    data = PackRows(frames, np.arange(len(frames)), targets)
    loader = DataLoader(
        data, params.fit.batch_size, sampler=EpochShuffle(len(data), params.seed), collate_fn=lambda batch: batch
    )
    resident = list(loader)
    network = build_network(NETWORK, getattr(params.networks, NETWORK).model_dump(exclude={"fit"})).train()
    durations = alternate(
        {
            "from_pack": lambda: _epoch(network, loader, params),
            "from_memory": lambda: _epoch(network, resident, params),
            "loader_alone": lambda: sum(1 for _ in loader),
            "augmentation_alone": lambda: _augment(resident, params),
        },
        ROUNDS,
    )
    return {
        "bare_loop_frames_per_second": len(data) / durations["from_pack"],
        "bare_loop_in_memory_frames_per_second": len(data) / durations["from_memory"],
        "data_path_share": durations["loader_alone"] / durations["from_pack"],
        "augmentation_share": durations["augmentation_alone"] / durations["from_pack"],
        "mflop_per_frame": step_flop(network, resident[0][0]) / 1e6,
    }


def _epoch(network: nn.Module, batches: Iterable, params: Train) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    generator, loss = torch.Generator().manual_seed(params.seed), nn.BCEWithLogitsLoss()
    for frames, targets in batches:
        optimizer.zero_grad()
        loss(network(augment_frames(frames, params.augment, generator)), targets).backward()
        optimizer.step()


def _augment(batches: Iterable, params: Train) -> None:
    generator = torch.Generator().manual_seed(params.seed)
    for frames, _ in batches:
        augment_frames(frames, params.augment, generator)
