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
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.transforms import v2

from pageflip.errors import DataError
from pageflip.export import write_part
from pageflip.params import TemporalTraining
from pageflip.temporal import ENCODER_FILE, HEAD_FILE, HEIGHT, WIDTH
from pageflip.temporal_network import TemporalNetwork, TemporalShape

WARM_UP_SHARE = 0.1
GAMMA = 0.3  # of its logarithm
LARGEST_GRADIENT = 5.0
TOLD_EVERY = 50  # steps
MOST_WINDOWS = 64  # of a batch: each is changed on its own, which takes its time


@dataclass(frozen=True)
class Lesson:
    """A recording to learn from.

    Attributes:
        frames: small, uint8 [N, HEIGHT, WIDTH, 3].
        log_odds: what a model of single frames says of each, float [N].
        states: int [N], 1 for flip.
        other_odds: what a weaker model says of each, float [N], where one was asked.
    """

    frames: np.ndarray
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
        optimizer = torch.optim.AdamW(network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, plan.learning_rate, total_steps=plan.steps, pct_start=WARM_UP_SHARE
        )
        losses = []
        for step in range(1, plan.steps + 1):
            frames, odds, states = _batch(lessons, plan, rng)
            loss = binary_cross_entropy_with_logits(network(frames, odds), states)
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
    """Frames float32 [B, N + 1, 3, HEIGHT, WIDTH] in 0..1, log-odds and states [B, N].

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
    change = _changes(plan)
    frames = torch.stack([_in_other_light(change(frames)) for frames, _, _ in windows])
    odds, states = (torch.from_numpy(np.stack(values)).float() for values in list(zip(*windows, strict=True))[1:])
    return frames, odds[:, 1:], states[:, 1:]


def _window(
    lesson: Lesson, length: int, plan: TemporalTraining, rng: np.random.Generator
) -> tuple[Tensor, np.ndarray, np.ndarray]:
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
    frames = torch.from_numpy(np.ascontiguousarray(lesson.frames[rows].transpose(0, 3, 1, 2))).float() / 255
    other = lesson.other_odds is not None and rng.random() < plan.other_share
    said = lesson.other_odds if other else lesson.log_odds
    odds = said[rows] * math.exp(rng.normal(0, plan.odds_stretch)) + rng.normal(0, plan.odds_shift)
    return frames, odds, lesson.states[rows]


def _changes(plan: TemporalTraining) -> v2.Transform:
    """What changes all frames of a window alike."""
    turn, shift, zoom = plan.rotate, (plan.shift, plan.shift), (1 - plan.zoom, 1 + plan.zoom)
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(turn, translate=shift, scale=zoom, interpolation=v2.InterpolationMode.BILINEAR),
            v2.ColorJitter(plan.light, plan.light, plan.light),
        ]
    )


def _in_other_light(frames: Tensor) -> Tensor:
    """Another gamma, and sensor noise of one level through the window; float32 [N, 3, HEIGHT, WIDTH] in 0..1."""
    gamma = math.exp(float(torch.empty(()).uniform_(-GAMMA, GAMMA)))
    level = 0.03 * float(torch.rand(()))
    return frames.clamp(1e-4, 1).pow(gamma) + level * torch.randn_like(frames)


class _OfPixels(nn.Module):
    """The encoder, for frames and those before them as uint8 [N, HEIGHT, WIDTH, 3]."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, frames: Tensor, before: Tensor) -> Tensor:
        return self.encoder(*(pixels.permute(0, 3, 1, 2).float() / 255 for pixels in (frames, before)))


def write_temporal(network: TemporalNetwork, folder: Path, facts: dict[str, str]) -> None:
    """Write both parts of the network as ONNX into `folder`; `facts` are told to people in the files' metadata."""
    shape = network.shape
    metadata = {"features": str(shape.features), "reach": str(shape.reach), **facts}
    pixels = torch.zeros((2, HEIGHT, WIDTH, 3), dtype=torch.uint8)
    many, as_many = {0: torch.export.Dim("frames_in_batch", min=1)}, {0: torch.export.Dim.DYNAMIC}
    # not the same tensor twice: the exporter would take both inputs for one
    given = {"frames": (pixels, many), "before": (pixels.clone(), as_many)}
    write_part(_OfPixels(network.encoder), folder / ENCODER_FILE, given, "vectors", metadata)
    length = 2 * shape.reach
    long, as_long = {1: torch.export.Dim("frames_in_sequence", min=1)}, {1: torch.export.Dim.DYNAMIC}
    given = {
        "features": (torch.zeros(1, length, shape.features), long),
        "log_odds": (torch.zeros(1, length), as_long),
    }
    write_part(network.head, folder / HEAD_FILE, given, "logits", metadata)
