"""Training of the temporal network on windows of labelled recordings, and export of its two parts to ONNX.

Augmentation changes the speed, direction, mirroring, position and light of windows. Log-odds are shifted and scaled
like those of other models, and some are those of a weaker model. All randomness comes from one seed.
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
MAX_LOG_GAMMA = 0.3
MAX_NOISE = 0.03  # standard deviation of sensor noise
MOVED_SHARE = 0.5  # of the windows; resampling takes most of the time of augmentation
MAX_GRADIENT_NORM = 5.0
REPORT_EVERY = 50  # steps
MAX_WINDOWS = 64  # of a batch: each is augmented on its own, which is slow


@dataclass(frozen=True)
class TrainingSequence:
    """Labelled recording.

    Attributes:
        planes: of its frames, uint8 [N, PLANES, h, w]; see `pageflip.events.temporal.to_planes`.
        log_odds: by the model of single frames, float [N].
        states: int [N], 1 for flip.
        other_odds: log-odds by a weaker model, float [N]; None without one.
    """

    planes: np.ndarray
    log_odds: np.ndarray
    states: np.ndarray
    other_odds: np.ndarray | None = None


def train_temporal(
    sequences: Sequence[TrainingSequence],
    plan: TemporalTraining,
    seed: int,
    on_progress: Callable[[int, float], None],
) -> TemporalNetwork:
    """Train the network, and return it in evaluation mode.

    The same seed and number of threads give the same weights.

    Args:
        sequences: labelled recordings; those of one frame are left out.
        plan: parameters of the training.
        seed: of everything random.
        on_progress: called every REPORT_EVERY steps with the steps since the last call and their mean loss.

    Raises:
        DataError: no recording has two frames.
    """
    sequences = [sequence for sequence in sequences if len(sequence.states) > 1]
    if not sequences:
        raise DataError("there are no videos to train on", "give videos with their events.json beside them.")
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
            planes, odds, states = _batch(sequences, plan, rng)
            loss = binary_cross_entropy_with_logits(network(planes, odds), states)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if len(losses) == REPORT_EVERY or step == plan.steps:
                on_progress(len(losses), float(np.mean(losses)))
                losses = []
    return network.eval()


def _batch(
    sequences: Sequence[TrainingSequence], plan: TemporalTraining, rng: np.random.Generator
) -> tuple[Tensor, ...]:
    """Return planes, float32 [B, N + 1, PLANES, h, w] in 0..1, log-odds and states, [B, N].

    Some batches hold more but shorter windows, since clips of a few frames must not be read like the middle of a video.
    """
    length = plan.window
    if rng.random() < plan.short_share:
        length = round(math.exp(rng.uniform(math.log(plan.shortest), math.log(plan.window))))
    eligible = [sequence for sequence in sequences if len(sequence.states) >= length] or list(sequences)
    weights = np.array([len(sequence.states) for sequence in eligible], np.float64)
    count = max(plan.windows, min(plan.windows * plan.window // length, MAX_WINDOWS))
    chosen = rng.choice(len(eligible), count, p=weights / weights.sum())
    windows = [_window(eligible[number], length, plan, rng) for number in chosen]
    planes = torch.stack([_augment(planes, plan, rng) for planes, _, _ in windows])
    odds, states = (torch.from_numpy(np.stack(values)).float() for values in list(zip(*windows, strict=True))[1:])
    return planes, odds[:, 1:], states[:, 1:]


def _window(
    sequence: TrainingSequence, length: int, plan: TemporalTraining, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut `length` frames and the one before them, at a random speed and direction.

    Half of the short windows stand for a whole recording: the frame before the first is that frame itself.
    """
    count = len(sequence.states)
    speed = min(math.exp(rng.uniform(-plan.speed, plan.speed)), max(1.0, count / length))
    start = rng.integers(0, max(1, count - math.ceil(length * speed)))
    rows = np.minimum((start + np.arange(length + 1) * speed).astype(int), count - 1)
    if rng.random() < 0.5:
        rows = rows[::-1].copy()
    if count <= length or (length < plan.window and rng.random() < 0.5):
        rows[0] = rows[1]
    log_odds = sequence.log_odds
    if sequence.other_odds is not None and rng.random() < plan.compact_network_share:
        log_odds = sequence.other_odds
    odds = log_odds[rows] * math.exp(rng.normal(0, plan.odds_stretch)) + rng.normal(0, plan.odds_shift)
    return sequence.planes[rows], odds, sequence.states[rows]


def _augment(planes: np.ndarray, plan: TemporalTraining, rng: np.random.Generator) -> Tensor:
    """Change light and position of a window, and mirror half of them: uint8 [N, PLANES, h, w] to float32 in 0..1."""
    bright, contrast, colourful = 1 + plan.light * rng.uniform(-1, 1, 3)
    levels = (np.arange(256) / 255) ** math.exp(rng.uniform(-MAX_LOG_GAMMA, MAX_LOG_GAMMA))
    levels = np.clip(contrast * (bright * levels - 0.5) + 0.5, 0, 1)
    differences = bright * contrast * colourful * (np.arange(256) / 255 - 0.5)
    luma = torch.from_numpy(levels.astype(np.float32)[planes[:, :LUMA_PLANES]])
    parts = [pixel_shuffle(luma, 2), torch.from_numpy(differences.astype(np.float32)[planes[:, LUMA_PLANES:]])]
    if rng.random() < 0.5:
        parts = [part.flip(3) for part in parts]
    if rng.random() < MOVED_SHARE:
        transform = _random_transform(plan, rng)
        parts = [_resample(part, transform) for part in parts]
    luma, differences = parts
    luma += MAX_NOISE * rng.random() * torch.randn_like(luma)
    return torch.cat([pixel_unshuffle(luma, 2), differences + 0.5], dim=1)


def _random_transform(plan: TemporalTraining, rng: np.random.Generator) -> Tensor:
    """Draw a rotation, zoom and shift for `affine_grid`, float32 [1, 2, 3]."""
    turn, zoom = math.radians(rng.uniform(-plan.rotate, plan.rotate)), 1 / (1 + plan.zoom * rng.uniform(-1, 1))
    across, down = 2 * plan.shift * rng.uniform(-1, 1, 2)
    cos, sin, ratio = zoom * math.cos(turn), zoom * math.sin(turn), PLANE_SHAPE[0] / PLANE_SHAPE[1]
    return torch.tensor([[[cos, -sin * ratio, across], [sin / ratio, cos, down]]], dtype=torch.float32)


def _resample(values: Tensor, transform: Tensor) -> Tensor:
    grid = affine_grid(transform, [1, *values.shape[1:]], align_corners=False).expand(len(values), -1, -1, -1)
    return grid_sample(values, grid, align_corners=False)


class _ByteEncoder(nn.Module):
    """Encoder that takes uint8 planes."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, planes: Tensor, before: Tensor) -> Tensor:
        return self.encoder(planes.float() / 255, before.float() / 255)


def export_temporal(network: TemporalNetwork, folder: Path, facts: dict[str, str]) -> None:
    """Write both parts of the network as ONNX into `folder`, with `facts` in the metadata."""
    shape = network.shape
    metadata = {"features": str(shape.features), "reach": str(shape.reach), **facts}
    planes = torch.zeros((2, PLANES, *PLANE_SHAPE), dtype=torch.uint8)
    many, as_many = {0: torch.export.Dim("frames_in_batch", min=1)}, {0: torch.export.Dim.DYNAMIC}
    # two tensors, since the exporter merges inputs that are the same one
    inputs = {"planes": (planes, many), "before": (planes.clone(), as_many)}
    write_part(_ByteEncoder(network.encoder), folder / ENCODER_FILE, inputs, "vectors", metadata)
    length = 2 * shape.reach
    long, as_long = {1: torch.export.Dim("frames_in_sequence", min=1)}, {1: torch.export.Dim.DYNAMIC}
    inputs = {
        "features": (torch.zeros(1, length, shape.features), long),
        "log_odds": (torch.zeros(1, length), as_long),
    }
    write_part(network.head, folder / HEAD_FILE, inputs, "logits", metadata)
