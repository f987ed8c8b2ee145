"""Distillation of a large network into a small one by its last feature maps and its probabilities.

A label is one bit per frame, which is too little to train a small network from scratch on thousands of frames; a
teacher's feature maps give hundreds of values per frame. The method is that of Romero et al., "FitNets: Hints for Thin
Deep Nets" (2015), applied to the last feature maps, with the teacher's probabilities as soft labels.

The teacher predicts each frame once as it is and once mirrored. The student's augmentation changes light and colour but
not geometry, since the feature maps would have to be transformed too.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pageflip.networks.layers import last_features, scale_pixels
from pageflip.params.day_zero import Imitation
from pageflip.training.augmentation import augment_frames

BATCH = 64
MIN_STD = 0.05  # of a channel: limits the weight of channels that hardly vary
WARM_UP_SHARE = 0.1


@dataclass(frozen=True)
class TeacherOutputs:
    """Outputs of a teacher for M frames, as they are and mirrored.

    Attributes:
        rows: of the pack, int [M].
        maps: last feature maps, float16 [2, M, channels, rows, columns].
        logits: of `flip`, float32 [2, M].
    """

    rows: np.ndarray
    maps: np.ndarray
    logits: np.ndarray


class _FeatureHook:
    """Context manager that collects the outputs of a network's last feature layer in `maps`."""

    def __init__(self, network: nn.Module) -> None:
        layer = last_features(network)
        if layer is None:
            raise ValueError(f"{type(network).__name__} has no known last feature layer")
        self.maps: list[Tensor] = []
        self._handle = layer.register_forward_hook(lambda module, inputs, output: self.maps.append(output))

    def __enter__(self) -> list[Tensor]:
        return self.maps

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


def run_teacher(teacher: nn.Module, frames: np.ndarray, rows: np.ndarray, device: str = "cpu") -> TeacherOutputs:
    """Predict rows of a pack, uint8 [N, height, width, 3], with a trained network."""
    teacher = teacher.to(device).eval()
    maps, logits = [], []
    with _FeatureHook(teacher) as features, torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            pixels = np.ascontiguousarray(frames[rows[start : start + BATCH]])
            batch = scale_pixels(torch.from_numpy(pixels).to(device))
            logits.append(np.stack([teacher(view).float().cpu().numpy() for view in (batch, batch.flip(3))]))
            maps.append(np.stack([view.half().cpu().numpy() for view in features]))
            features.clear()
    return TeacherOutputs(rows, np.concatenate(maps, axis=1), np.concatenate(logits, axis=1))


def distil(
    student: nn.Module,
    frames: np.ndarray,
    outputs: TeacherOutputs,
    plan: Imitation,
    *,
    seed: int,
    on_epoch: Callable[[dict], None],
    device: str = "cpu",
) -> None:
    """Train a student in place on a teacher's outputs; it stays on the device.

    A linear map, which is discarded afterwards, translates the student's channels to the teacher's; maps of another
    size are resized. The loss is the mean squared error in units of each channel's standard deviation, plus the
    cross-entropy with the teacher's probabilities.

    Args:
        student: the network to train.
        frames: the pack, uint8 [N, height, width, 3].
        outputs: what `run_teacher` returned for the pack.
        plan: parameters of the training.
        seed: of everything random.
        on_epoch: receives `epoch` and `loss` of each epoch.
        device: torch's name of the device.
    """
    torch.manual_seed(seed)
    student = student.to(device).train()
    mean, std = (value.to(device) for value in _channel_statistics(outputs.maps))
    generator, rng = torch.Generator(device).manual_seed(seed), np.random.default_rng(seed)
    with _FeatureHook(student) as features:
        with torch.no_grad():
            student(scale_pixels(torch.from_numpy(np.ascontiguousarray(frames[outputs.rows[:2]])).to(device)))
        translation = nn.Conv2d(features.pop().shape[1], outputs.maps.shape[2], 1).to(device)
        optimizer, schedule = _make_optimizer(nn.ModuleList([student, translation]), plan, len(outputs.rows))
        for epoch in range(plan.epochs):
            losses = []
            for batch in _batches(len(outputs.rows), plan.batch_size, rng):
                view = int(rng.integers(2))
                pixels = torch.from_numpy(np.ascontiguousarray(frames[outputs.rows[batch]])).to(device)
                pixels = pixels.flip(2) if view else pixels
                logits = student(augment_frames(pixels, plan.augment, generator))
                maps = (torch.from_numpy(outputs.maps[view, batch]).to(device).float() - mean) / std
                probabilities = torch.sigmoid(torch.from_numpy(outputs.logits[view, batch]).to(device))
                translated = translation(_resize(features.pop(), maps))
                loss = F.mse_loss(translated, maps) + F.binary_cross_entropy_with_logits(logits, probabilities)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.detach())
            on_epoch({"epoch": epoch, "loss": float(torch.stack(losses).mean())})


def _channel_statistics(maps: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation [1, channels, 1, 1] of each channel, from a tenth of the frames."""
    sample = maps[0, :: max(1, min(10, maps.shape[1] // 2))].astype(np.float32)
    values = (sample.mean(axis=(0, 2, 3)), sample.std(axis=(0, 2, 3)) + MIN_STD)
    mean, std = (torch.from_numpy(value)[None, :, None, None] for value in values)
    return mean, std


def _make_optimizer(
    modules: nn.Module, plan: Imitation, count: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    optimizer = torch.optim.AdamW(
        modules.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
    )
    steps = plan.epochs * max(1, count // plan.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, total_steps=steps + 1, pct_start=WARM_UP_SHARE, cycle_momentum=False
    )
    return optimizer, schedule


def _batches(count: int, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw an epoch's positions in whole batches, ascending within each, so that the memory map is read in order."""
    order = rng.permutation(count)
    size = min(size, count)
    return [np.sort(order[start : start + size]) for start in range(0, count - size + 1, size)]


def _resize(features: Tensor, target: Tensor) -> Tensor:
    if features.shape[2:] == target.shape[2:]:
        return features
    return F.interpolate(features, size=target.shape[2:], mode="bilinear", align_corners=False)
