"""What a large network has learnt, handed to a small one: the small one's last features imitate the large one's.

A frame's label is one bit, and some thousand of them teach a small network from scratch next to nothing. Where in the
frame a trained network sees what is far more: hundreds of values a frame. The method is that of Romero et al.,
"FitNets: Hints for Thin Deep Nets" (2015), on the last features, with the large one's probabilities as labels beside.

The large network sees each frame once as it is and once mirrored; the small one sees it in another light each time, but
nothing in it moved, since the maps would have to move along.
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
MIN_DEVIATION = 0.05  # of a channel, so that one that is hardly used is not blown up
WARM_UP_SHARE = 0.1


@dataclass(frozen=True)
class Lessons:
    """What a network saw in M frames, as they are and mirrored.

    Attributes:
        rows: of the pack, int [M].
        maps: its last features, float16 [2, M, channels, rows, columns].
        logits: of `flip`, float32 [2, M].
    """

    rows: np.ndarray
    maps: np.ndarray
    logits: np.ndarray


def listen(teacher: nn.Module, frames: np.ndarray, rows: np.ndarray, device: str = "cpu") -> Lessons:
    """Look at the chosen rows of a pack through a trained network."""
    teacher = teacher.to(device).eval()
    maps, logits, kept = [], [], []
    handle = last_features(teacher).register_forward_hook(lambda module, inputs, output: kept.append(output))
    try:
        with torch.inference_mode():
            for start in range(0, len(rows), BATCH):
                pixels = np.ascontiguousarray(frames[rows[start : start + BATCH]])
                batch = scale_pixels(torch.from_numpy(pixels).to(device))
                seen = [teacher(view).float().cpu().numpy() for view in (batch, batch.flip(3))]
                logits.append(np.stack(seen))
                maps.append(np.stack([view.half().cpu().numpy() for view in kept]))
                kept.clear()
    finally:
        handle.remove()
    return Lessons(rows, np.concatenate(maps, axis=1), np.concatenate(logits, axis=1))


def imitate(
    student: nn.Module,
    frames: np.ndarray,
    lessons: Lessons,
    plan: Imitation,
    *,
    seed: int,
    on_epoch: Callable[[dict], None],
    device: str = "cpu",
) -> None:
    """Train `student` in place to see in the frames what the lessons say; it is left on the device.

    A linear map from its features to the teacher's, of which nothing is kept, makes up for other channels; maps of
    another size are scaled. The loss is the mean square in units of each channel's deviation, plus the cross-entropy
    with the teacher's probabilities.
    """
    torch.manual_seed(seed)
    student = student.to(device).train()
    mean, deviation = (value.to(device) for value in _spread(lessons.maps))
    kept: list[Tensor] = []
    handle = last_features(student).register_forward_hook(lambda module, inputs, output: kept.append(output))
    with torch.no_grad():
        student(scale_pixels(torch.from_numpy(np.ascontiguousarray(frames[lessons.rows[:2]])).to(device)))
    translation = nn.Conv2d(kept.pop().shape[1], lessons.maps.shape[2], 1).to(device)
    optimizer, schedule = _optimiser(nn.ModuleList([student, translation]), plan, len(lessons.rows))
    generator, draw = torch.Generator(device).manual_seed(seed), np.random.default_rng(seed)
    try:
        for epoch in range(plan.epochs):
            losses = []
            for batch in _batches(len(lessons.rows), plan.batch_size, draw):
                view = int(draw.integers(2))
                pixels = torch.from_numpy(np.ascontiguousarray(frames[lessons.rows[batch]])).to(device)
                pixels = pixels.flip(2) if view else pixels
                logits = student(augment_frames(pixels, plan.augment, generator))
                wanted = (torch.from_numpy(lessons.maps[view, batch]).to(device).float() - mean) / deviation
                told = torch.sigmoid(torch.from_numpy(lessons.logits[view, batch]).to(device))
                there = translation(_sized(kept.pop(), wanted))
                loss = F.mse_loss(there, wanted) + F.binary_cross_entropy_with_logits(logits, told)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.detach())
            on_epoch({"epoch": epoch, "loss": float(torch.stack(losses).mean())})
    finally:
        handle.remove()


def _spread(maps: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and deviation [1, channels, 1, 1] of each channel, from a tenth of the frames."""
    some = maps[0, :: max(1, min(10, maps.shape[1] // 2))].astype(np.float32)
    values = (some.mean(axis=(0, 2, 3)), some.std(axis=(0, 2, 3)) + MIN_DEVIATION)
    mean, deviation = (torch.from_numpy(value)[None, :, None, None] for value in values)
    return mean, deviation


def _optimiser(modules: nn.Module, plan: Imitation, count: int) -> tuple[torch.optim.Optimizer, object]:
    optimizer = torch.optim.AdamW(
        modules.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
    )
    steps = plan.epochs * max(1, count // plan.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, total_steps=steps + 1, pct_start=WARM_UP_SHARE, cycle_momentum=False
    )
    return optimizer, schedule


def _batches(count: int, size: int, draw: np.random.Generator) -> list[np.ndarray]:
    """An epoch's positions in whole batches, each ascending, so that the memory map is read in order."""
    order = draw.permutation(count)
    size = min(size, count)
    return [np.sort(order[start : start + size]) for start in range(0, count - size + 1, size)]


def _sized(features: Tensor, wanted: Tensor) -> Tensor:
    if features.shape[2:] == wanted.shape[2:]:
        return features
    return F.interpolate(features, size=wanted.shape[2:], mode="bilinear", align_corners=False)
