"""Share of a training step's speed that remains with batches from the pack, on the device that trains.

Measured: frames per second of training steps of `cnn` over batches from the loader (gathered in the device's memory if
the frames fit there), divided by that of the same steps over batches that are on the device already; 240 drawn frames
of 1080x1920 packed as in params.yaml (120 pictures, twice each), 24 epochs each, alternating, median of three rounds.
On CUDA in bf16, and in the detail the same for prefetched batches. If CUDA finds no GPU the CPU is measured, as
`device` says: there both read the same memory.

    python -m benchmarks train_data_path_on_device
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from benchmarks.measuring import alternate, drawn_frames, machine, repeated, silence
from benchmarks.results import Result
from pageflip.base.settings import project_root
from pageflip.frames.names import LABELS
from pageflip.frames.pack import open_pack
from pageflip.frames.pack_building import build_pack
from pageflip.networks.build import build_network
from pageflip.params.all import load_params
from pageflip.params.training import Train
from pageflip.training.augmentation import augment_frames
from pageflip.training.batches import EpochShuffle, fits_on_device, make_loader

BAR = 0.9
NETWORK = "cnn"
REPETITIONS, EPOCHS, ROUNDS = 2, 24, 3


def measure() -> Result:
    """Train from the pack and from resident batches, in turns."""
    params = load_params(project_root() / "params.yaml")
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    with repeated(drawn_frames(), REPETITIONS) as raw, TemporaryDirectory(prefix="pageflip-bench-") as place:
        pack = Path(place) / "pack"
        with silence():
            build_pack(raw, pack, width=params.prepare.width, height=params.prepare.height)
        frames, index = open_pack(pack)
        targets = (index["label"] == LABELS[1]).to_numpy().astype(np.float32)
        return _compare(frames, targets, params.train, device)


def _compare(frames: np.ndarray, targets: np.ndarray, params: Train, device: torch.device) -> Result:
    part = np.arange(len(frames)), targets
    resident = fits_on_device(frames, len(frames), params.fit.device_memory_share, device)

    def loader(stays: bool) -> Iterable:
        sampler = EpochShuffle(len(frames), params.seed)
        return make_loader(
            frames, part, batch_size=params.fit.batch_size, device=device, resident=stays, sampler=sampler
        )

    sources = {"data_path": loader(resident), "waiting": [_on(device, batch) for batch in loader(False)]}
    if device.type == "cuda":
        sources["copied_ahead"] = loader(False)
    network = build_network(NETWORK, getattr(params.networks, NETWORK).model_dump(exclude={"fit"})).to(device).train()
    durations = alternate(
        {name: partial(_train, network, source, params, device) for name, source in sources.items()}, ROUNDS
    )
    speeds = {name: EPOCHS * len(frames) / seconds for name, seconds in durations.items()}
    detail = {
        "bar": BAR,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu: CUDA finds no GPU here",
        "frames_stay_on_the_device": resident,
        "machine": machine() | {"threads": torch.get_num_threads()},
        "batch_size": params.fit.batch_size,
        "frames_per_second": speeds,
    }
    if "copied_ahead" in durations:
        detail["copied_ahead_ratio"] = durations["waiting"] / durations["copied_ahead"]
    return Result("train_data_path_on_device", durations["waiting"] / durations["data_path"], "share", True, detail)


def _on(device: torch.device, batch: Iterable) -> tuple:
    return tuple(tensor.to(device) for tensor in batch)


def _train(network: nn.Module, batches: Iterable, params: Train, device: torch.device) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    generator, loss = torch.Generator(device).manual_seed(params.seed), nn.BCEWithLogitsLoss()
    for _ in range(EPOCHS):
        for frames, targets in batches:
            optimizer.zero_grad()
            with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
                logits = network(augment_frames(frames, params.augment, generator))
            loss(logits.float(), targets).backward()
            optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
