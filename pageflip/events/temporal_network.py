"""Temporal network (PyTorch): classify each frame of a recording from the frames before and after it.

Its inputs are small frames, their differences from the frame before, and the log-odds of the model of single frames.
An encoder computes features of every frame; dilated convolutions over time (Bai et al., "An empirical evaluation of
generic convolutional and recurrent networks for sequence modeling", 2018; here non-causal) turn them into logits.

`TemporalNetwork` is trained as a whole; `pageflip.events.temporal` runs its two parts with ONNX Runtime.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from pageflip.events.temporal import LUMA_PLANES, ODDS_SCALE, PLANES

MIN_DEVIATION = 0.05  # limits the amplification of noise in uniform frames
MOTION_GAIN = 4.0  # brings frame differences to the scale of frames


@dataclass(frozen=True)
class TemporalShape:
    """Size of the network: channels of the encoder's four stages, width and dilations of the convolutions."""

    channels: tuple[int, ...] = (32, 48, 64, 96)
    width: int = 64
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    dropout: float = 0.2

    @property
    def features(self) -> int:
        """Length of a frame's feature vector."""
        return 2 * self.channels[-1]

    @property
    def reach(self) -> int:
        """Receptive field, in frames to either side."""
        return sum(self.dilations)


class Encoder(nn.Module):
    """Features of frames, from their planes and those of the frames before.

    Planes are centred and divided by the standard deviation of the luma, which removes exposure and white balance.
    """

    def __init__(self, shape: TemporalShape) -> None:
        super().__init__()
        widths = (2 * PLANES + 1, *shape.channels)
        strides = [2] * (len(shape.channels) - 1) + [1]
        self.stages = nn.Sequential(
            *(_stage(one, two, stride) for (one, two), stride in zip(pairwise(widths), strides, strict=True))
        )

    def forward(self, planes: Tensor, before: Tensor) -> Tensor:
        """Return float32 [N, features], for two inputs float32 [N, PLANES, h, w] in 0..1."""
        still = planes - planes.mean(dim=(2, 3), keepdim=True)
        deviation = still[:, :LUMA_PLANES].square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + MIN_DEVIATION
        change = planes - before
        change = MOTION_GAIN * (change - change.mean(dim=(2, 3), keepdim=True)) / deviation
        motion = change[:, :LUMA_PLANES].abs().mean(dim=1, keepdim=True)
        maps = self.stages(torch.cat([still / deviation, change, motion], dim=1))
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


class Head(nn.Module):
    """Logits, from the features and log-odds of successive frames."""

    def __init__(self, shape: TemporalShape) -> None:
        super().__init__()
        self.enter = nn.Conv1d(shape.features, shape.width, 1)
        self.enter_odds = nn.Conv1d(2, shape.width, 1)
        self.blocks = nn.ModuleList(_Block(shape.width, dilation, shape.dropout) for dilation in shape.dilations)
        self.leave = nn.Conv1d(shape.width, 1, 1)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, features: Tensor, log_odds: Tensor) -> Tensor:
        """Return logits of `flip`, float32 [B, N], for features float32 [B, N, features] and log-odds [B, N]."""
        odds = (log_odds / ODDS_SCALE)[:, None]
        values = self.enter(self.dropout(features.transpose(1, 2)))
        values = values + self.enter_odds(torch.cat([odds, odds.abs()], dim=1))
        for block in self.blocks:
            values = block(values)
        return self.leave(relu(values)).squeeze(1)


class TemporalNetwork(nn.Module):
    """Encoder and head, trained together."""

    def __init__(self, shape: TemporalShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape)
        self.head = Head(shape)

    def forward(self, planes: Tensor, log_odds: Tensor) -> Tensor:
        """Return logits [B, N] for planes [B, N + 1, PLANES, h, w], one frame before included, and log-odds [B, N]."""
        count, length = planes.shape[0], planes.shape[1] - 1
        features = self.encoder(planes[:, 1:].flatten(0, 1), planes[:, :-1].flatten(0, 1))
        return self.head(features.view(count, length, -1), log_odds)


def _stage(width: int, out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, out, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )


class _Block(nn.Module):
    """Residual block of a dilated convolution over time."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.wide = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm1d(width)
        self.mix = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        return values + self.dropout(self.mix(relu(self.norm(self.wide(relu(values))))))
