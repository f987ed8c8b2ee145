"""Trains the temporal network on windows of videos whose flips are known, and writes its two parts as ONNX.

Windows are played faster and slower, forwards and backwards, mirrored, moved, in other light; log-odds are shifted and
stretched, as those of other models would be, and in part they are those of another model. Everything random is drawn
from one seed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import (
    affine_grid,
    binary_cross_entropy_with_logits,
    grid_sample,
    pixel_shuffle,
    pixel_unshuffle,
)

from pageflip.base.errors import DataError
from pageflip.events.temporal import ENCODER_FILE, HEAD_FILE, LUMA_PLANES, PLANE_SHAPE, PLANES
from pageflip.events.temporal_network import TemporalNetwork, TemporalShape
from pageflip.networks.onnx_export import write_part
from pageflip.params.events import TemporalTraining

WARM_UP_SHARE = 0.1
GAMMA = 0.3  # of its logarithm
NOISE = 0.03  # largest deviation of the sensor's noise
MOVED_SHARE = 0.5  # of the windows; moving one costs most of what making it does
LARGEST_GRADIENT = 5.0
TOLD_EVERY = 50  # steps
MOST_WINDOWS = 64  # of a batch: each is changed on its own, which takes its time


@dataclass(frozen=True)
class Lesson:
    """A recording to learn from.

    Attributes:
        planes: of its frames, as `pageflip.events.temporal.planes_of` makes them, uint8 [N, PLANES, h, w].
        log_odds: what a model of single frames says of each, float [N].
        states: int [N], 1 for flip.
        other_odds: what a weaker model says of each, float [N], where one was asked.
    """

    planes: np.ndarray
    log_odds: np.ndarray
    states: np.ndarray
    other_odds: np.ndarray | None = None


def train_temporal(
    lessons: Sequence[Lesson], plan: TemporalTraining, seed: int, told: Callable[[int, float], None]
) -> TemporalNetwork:
    """Train the network, and return it in evaluation mode. The same seed and number of threads give the same weights.

    Args:
        told: called now and then with the steps since the last time and the mean loss over them.

    Raises:
        DataError: no video is as long as a window may be.
    """
    lessons = [lesson for lesson in lessons if len(lesson.states) > 1]
    if not lessons:
        raise DataError("there are no videos to learn from", "give videos with their truth beside them.")
    rng = np.random.default_rng([seed, 17])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TemporalNetwork(TemporalShape(width=plan.width, dropout=plan.dropout)).train()
        network.encoder.to(memory_format=torch.channels_last)  # a fifth faster on a CPU
        optimizer = torch.optim.AdamW(network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, plan.learning_rate, total_steps=plan.steps, pct_start=WARM_UP_SHARE
        )
        losses = []
        for step in range(1, plan.steps + 1):
            planes, odds, states = _batch(lessons, plan, rng)
            loss = binary_cross_entropy_with_logits(network(planes, odds), states)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if len(losses) == TOLD_EVERY or step == plan.steps:
                told(len(losses), float(np.mean(losses)))
                losses = []
    return network.eval()


def _batch(lessons: Sequence[Lesson], plan: TemporalTraining, rng: np.random.Generator) -> tuple[Tensor, ...]:
    """Planes float32 [B, N + 1, PLANES, h, w] of 0..1, log-odds and states [B, N].

    A share of the batches holds short recordings, and more of them: a clip has no neighbours beyond its few frames, and
    is not to be read like the middle of a video.
    """
    length = plan.window
    if rng.random() < plan.short_share:
        length = round(math.exp(rng.uniform(math.log(plan.shortest), math.log(plan.window))))
    eligible = [lesson for lesson in lessons if len(lesson.states) >= length] or list(lessons)
    weights = np.array([len(lesson.states) for lesson in eligible], np.float64)
    count = max(plan.windows, min(plan.windows * plan.window // length, MOST_WINDOWS))
    chosen = rng.choice(len(eligible), count, p=weights / weights.sum())
    windows = [_window(eligible[number], length, plan, rng) for number in chosen]
    planes = torch.stack([_changed(planes, plan, rng) for planes, _, _ in windows])
    odds, states = (torch.from_numpy(np.stack(values)).float() for values in list(zip(*windows, strict=True))[1:])
    return planes, odds[:, 1:], states[:, 1:]


def _window(
    lesson: Lesson, length: int, plan: TemporalTraining, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`length` frames and the one before them, at another speed, in one of both directions.

    A short one is a recording of its own as often as not: the frame before its first is that frame itself.
    """
    count = len(lesson.states)
    speed = min(math.exp(rng.uniform(-plan.speed, plan.speed)), max(1.0, count / length))
    start = rng.integers(0, max(1, count - math.ceil(length * speed)))
    rows = np.minimum((start + np.arange(length + 1) * speed).astype(int), count - 1)
    if rng.random() < 0.5:
        rows = rows[::-1].copy()
    if count <= length or (length < plan.window and rng.random() < 0.5):
        rows[0] = rows[1]
    other = lesson.other_odds is not None and rng.random() < plan.compact_network_share
    said = lesson.other_odds if other else lesson.log_odds
    odds = said[rows] * math.exp(rng.normal(0, plan.odds_stretch)) + rng.normal(0, plan.odds_shift)
    return lesson.planes[rows], odds, lesson.states[rows]


def _changed(planes: np.ndarray, plan: TemporalTraining, rng: np.random.Generator) -> Tensor:
    """A window in another light and place, and mirrored by halves: uint8 [N, PLANES, h, w] -> float32, of 0..1."""
    bright, contrast, colourful = 1 + plan.light * rng.uniform(-1, 1, 3)
    levels = (np.arange(256) / 255) ** math.exp(rng.uniform(-GAMMA, GAMMA))
    levels = np.clip(contrast * (bright * levels - 0.5) + 0.5, 0, 1)
    differences = bright * contrast * colourful * (np.arange(256) / 255 - 0.5)
    luma = torch.from_numpy(levels.astype(np.float32)[planes[:, :LUMA_PLANES]])
    parts = [pixel_shuffle(luma, 2), torch.from_numpy(differences.astype(np.float32)[planes[:, LUMA_PLANES:]])]
    if rng.random() < 0.5:
        parts = [part.flip(3) for part in parts]
    if rng.random() < MOVED_SHARE:
        where = _elsewhere(plan, rng)
        parts = [_sampled(part, where) for part in parts]
    luma, differences = parts
    luma += NOISE * rng.random() * torch.randn_like(luma)
    return torch.cat([pixel_unshuffle(luma, 2), differences + 0.5], dim=1)


def _elsewhere(plan: TemporalTraining, rng: np.random.Generator) -> Tensor:
    """A turn, zoom and shift, as `affine_grid` takes them: float32 [1, 2, 3]."""
    turn, zoom = math.radians(rng.uniform(-plan.rotate, plan.rotate)), 1 / (1 + plan.zoom * rng.uniform(-1, 1))
    across, down = 2 * plan.shift * rng.uniform(-1, 1, 2)
    cos, sin, ratio = zoom * math.cos(turn), zoom * math.sin(turn), PLANE_SHAPE[0] / PLANE_SHAPE[1]
    return torch.tensor([[[cos, -sin * ratio, across], [sin / ratio, cos, down]]], dtype=torch.float32)


def _sampled(values: Tensor, where: Tensor) -> Tensor:
    grid = affine_grid(where, [1, *values.shape[1:]], align_corners=False).expand(len(values), -1, -1, -1)
    return grid_sample(values, grid, align_corners=False)


class _OfBytes(nn.Module):
    """The encoder, for planes of frames and of those before them as uint8 [N, PLANES, h, w]."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, planes: Tensor, before: Tensor) -> Tensor:
        return self.encoder(planes.float() / 255, before.float() / 255)


def write_temporal(network: TemporalNetwork, folder: Path, facts: dict[str, str]) -> None:
    """Write both parts of the network as ONNX into `folder`; `facts` are told to people in the files' metadata."""
    shape = network.shape
    metadata = {"features": str(shape.features), "reach": str(shape.reach), **facts}
    planes = torch.zeros((2, PLANES, *PLANE_SHAPE), dtype=torch.uint8)
    many, as_many = {0: torch.export.Dim("frames_in_batch", min=1)}, {0: torch.export.Dim.DYNAMIC}
    # not the same tensor twice: the exporter would take both inputs for one
    given = {"planes": (planes, many), "before": (planes.clone(), as_many)}
    write_part(_OfBytes(network.encoder), folder / ENCODER_FILE, given, "vectors", metadata)
    length = 2 * shape.reach
    long, as_long = {1: torch.export.Dim("frames_in_sequence", min=1)}, {1: torch.export.Dim.DYNAMIC}
    given = {
        "features": (torch.zeros(1, length, shape.features), long),
        "log_odds": (torch.zeros(1, length), as_long),
    }
    write_part(network.head, folder / HEAD_FILE, given, "logits", metadata)
