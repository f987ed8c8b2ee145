"""Time of a training epoch from the pack, compared with torchvision's ImageFolder.

Measured: seconds of an epoch of training steps of `cnn` over 120 drawn frames of 1080x1920, from the pack (batches from
the memory map, augmented as in params.yaml), and from the JPEGs with ImageFolder: Pillow decodes the whole picture,
which is then resized and mirrored at random. Network, batch size and number of workers (none) are the same; both
alternate, median of three rounds; the value is the ratio. Packing is done once and left out; the detail says after how
many epochs it has paid. In the detail also: ImageFolder at ImageNet's sizes (resize to 256, crop 224), the share of
JPEG decoding in its epoch, the speed of the epoch from the pack in floating-point operations compared with a large
matrix product, and one step of a widely published network of five blocks (32-64-128-64-32 channels at 224x224).

    python -m benchmarks train_epoch_vs_usual_way
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.measuring import alternate, drawn_frames, machine, seconds, silence, step_flop
from benchmarks.results import Result
from pageflip.base.settings import project_root
from pageflip.frames.names import LABELS
from pageflip.frames.pack import open_pack
from pageflip.frames.pack_building import build_pack
from pageflip.frames.raw_folder import list_frames
from pageflip.networks.build import build_network
from pageflip.params.all import Params, load_params
from pageflip.training.augmentation import augment_frames
from pageflip.training.batches import EpochShuffle, PackRows

BAR = 10.0
NETWORK = "cnn"
ROUNDS = 3
MATRIX = 2048  # rows and columns of the matrix product that stands for the machine's peak
PUBLISHED_CHANNELS, PUBLISHED_SIZE, PUBLISHED_BATCH = (32, 64, 128, 64, 32), 224, 16


def measure() -> Result:
    """Train an epoch each way, in turns."""
    params = load_params(project_root() / "params.yaml")
    raw = drawn_frames()
    with TemporaryDirectory(prefix="pageflip-bench-") as place:
        pack, folder = Path(place) / "pack", Path(place) / "folder"
        packing = seconds(lambda: build_pack(raw, pack, width=params.prepare.width, height=params.prepare.height))
        _link_by_label(raw, folder)
        frames, index = open_pack(pack)
        targets = (index["label"] == LABELS[1]).to_numpy().astype(np.int64)
        own_size = (params.prepare.height, params.prepare.width)
        resized = _usual_loader(folder, params, [v2.Resize(own_size)])
        imagenet = _usual_loader(folder, params, [v2.Resize(256), v2.RandomCrop(PUBLISHED_SIZE)])
        network = _network(params)  # one for all variants: an epoch does not start with a new network
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
        train = partial(_train, network, optimizer)
        durations = alternate(
            {
                "pack": partial(_pack_epoch, frames, targets, params, train),
                "usual": partial(train, resized),
                "usual_at_imagenet_size": partial(train, imagenet),
                "decoding_alone": partial(_decode, [path for path, _ in resized.dataset.samples]),
                "matrix_product": partial(torch.mm, *torch.rand(2, MATRIX, MATRIX)),
            },
            ROUNDS,
        )
        flop = step_flop(network, torch.from_numpy(np.array(frames[: params.train.fit.batch_size])))
    matrix_seconds = durations.pop("matrix_product")
    saved = durations["usual"] - durations["pack"]
    reached, possible = flop * len(frames) / durations["pack"] / 1e9, 2 * MATRIX**3 / matrix_seconds / 1e9
    detail = {
        "bar": BAR,
        "machine": machine() | {"threads": torch.get_num_threads()},
        "frames": len(frames),
        "batch_size": params.train.fit.batch_size,
        "pixels": [params.prepare.width, params.prepare.height],
        "frames_per_second": {name: len(frames) / durations[name] for name in durations},
        "ratio_at_imagenet_size": durations["usual_at_imagenet_size"] / durations["pack"],
        "decoding_share_of_the_usual_epoch": durations["decoding_alone"] / durations["usual"],
        "mflop_per_frame": flop / 1e6,
        "gflop_per_second": reached,
        "gflop_per_second_of_a_matrix_product": possible,
        "share_of_the_matrix_product": reached / possible,
        "packing_pays_after_epochs": packing / saved if saved > 0 else None,
        "published_network_frames_per_second": _published_speed(),
    }
    return Result("train_epoch_vs_usual_way", durations["usual"] / durations["pack"], "times", True, detail)


def _link_by_label(raw: Path, folder: Path) -> None:
    """Link the frames as ImageFolder reads them, in one folder per label."""
    for frame in list_frames(raw):
        link = folder / frame.label / f"{frame.video}_{frame.frame:09d}.jpg"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((raw / frame.path).absolute())


def _usual_loader(folder: Path, params: Params, sizes: list[nn.Module]) -> DataLoader:
    steps = [v2.ToImage(), *sizes, v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)]
    data = ImageFolder(str(folder), transform=v2.Compose(steps))
    return DataLoader(data, params.train.fit.batch_size, shuffle=True)


def _pack_epoch(frames: np.ndarray, targets: np.ndarray, params: Params, train: Callable[..., None]) -> None:
    data = PackRows(frames, np.arange(len(frames)), targets)
    sampler = EpochShuffle(len(data), params.train.seed)
    loader = DataLoader(data, params.train.fit.batch_size, sampler=sampler, collate_fn=lambda batch: batch)
    generator = torch.Generator().manual_seed(params.train.seed)
    train(loader, lambda batch: augment_frames(batch, params.train.augment, generator))


def _network(params: Params) -> nn.Module:
    return build_network(NETWORK, getattr(params.train.networks, NETWORK).model_dump(exclude={"fit"})).train()


def _train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable,
    prepare: Callable[[Tensor], Tensor] = lambda frames: frames,
) -> None:
    loss = nn.BCEWithLogitsLoss()
    for frames, targets in batches:
        optimizer.zero_grad()
        loss(network(prepare(frames)).flatten(), targets.float()).backward()
        optimizer.step()


def _decode(paths: list[str]) -> None:
    for path in paths:
        with Image.open(path) as picture:
            picture.load()


def _published_speed() -> float:
    """Return the frames per second of training steps of the five-block network on a batch in memory."""
    layers, width, size = [], 3, PUBLISHED_SIZE
    for channels in PUBLISHED_CHANNELS:
        layers += [nn.Conv2d(width, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2)]
        width, size = channels, size // 2
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * size * size, 128), nn.ReLU(), nn.Linear(128, 1))
    batch = torch.rand(PUBLISHED_BATCH, 3, PUBLISHED_SIZE, PUBLISHED_SIZE), torch.ones(PUBLISHED_BATCH)
    with silence():
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
        durations = alternate({"step": partial(_train, network, optimizer, [batch])}, ROUNDS)
    return PUBLISHED_BATCH / durations["step"]
