"""Small charts as shapes in pixels, which a template draws as inline SVG.

They are drawn without a plotting library: colours come from the page's style sheet, so a chart follows the reader's
light or dark mode, takes a few KB, and the same numbers always give the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor, log10
from typing import Any

CHART_WIDTH, CHART_HEIGHT = 340, 264
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 44


@dataclass(frozen=True)
class Axis:
    """An axis: label, ends in data units, positions of the ticks, and their decimals."""

    label: str
    low: float = 0.0
    high: float = 1.0
    ticks: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    decimals: int = 2


@dataclass
class Chart:
    """A chart. The methods take data units; `shapes`, `x_ticks`, `y_ticks` and `legend` are for the template.

    A style is the name of a class in the page's style sheet (`one`, `two`, `guide`).
    """

    title: str
    x: Axis
    y: Axis
    shapes: list[dict[str, Any]] = field(default_factory=list)
    legend: list[dict[str, str]] = field(default_factory=list)
    width: int = CHART_WIDTH
    height: int = CHART_HEIGHT
    left: int = LEFT
    right: int = CHART_WIDTH - RIGHT
    top: int = TOP
    bottom: int = CHART_HEIGHT - BOTTOM

    def line(self, xs: Sequence[float], ys: Sequence[float], style: str, name: str = "") -> "Chart":
        """Add a line through points; with a name it is in the legend."""
        points = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in zip(xs, ys, strict=True))
        self.shapes.append({"kind": "line", "style": style, "points": points})
        return self._named(style, name)

    def dot(self, x: float, y: float, style: str, note: str, radius: float = 4.0) -> "Chart":
        """Add a dot; `note` is shown when the pointer is over it."""
        place = {"x": f"{self._x(x):.1f}", "y": f"{self._y(y):.1f}", "radius": f"{radius:.1f}"}
        self.shapes.append({"kind": "dot", "style": style, "note": note, **place})
        return self

    def bar(self, low: float, high: float, base: float, top: float, style: str, note: str = "") -> "Chart":
        """Add a bar over low..high on the x axis, from base to top on the y axis."""
        x, width = self._x(low), self._x(high) - self._x(low)
        y, height = self._y(top), self._y(base) - self._y(top)
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}"}
        self.shapes.append({"kind": "bar", "style": style, "note": note, **place})
        return self

    def name(self, style: str, name: str) -> "Chart":
        """Add a style to the legend."""
        return self._named(style, name)

    @property
    def x_ticks(self) -> list[dict[str, str]]:
        """Positions and texts of the x axis' ticks."""
        return [{"at": f"{self._x(tick):.1f}", "text": f"{tick:.{self.x.decimals}f}"} for tick in self.x.ticks]

    @property
    def y_ticks(self) -> list[dict[str, str]]:
        """Positions and texts of the y axis' ticks."""
        return [{"at": f"{self._y(tick):.1f}", "text": f"{tick:.{self.y.decimals}f}"} for tick in self.y.ticks]

    def _named(self, style: str, name: str) -> "Chart":
        if name:
            self.legend.append({"style": style, "name": name})
        return self

    def _x(self, value: float) -> float:
        return self.left + (self.right - self.left) * _share(value, self.x)

    def _y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * _share(value, self.y)


def axis_up_to(label: str, highest: float, *, whole: bool = False) -> Axis:
    """Return an axis from 0 to a round number at or above `highest`, with at most six round ticks."""
    step = round_step(max(highest, 1.0 if whole else 1e-6) / 4)
    if whole:
        step = max(1.0, step)
    count = max(1, int(-(-highest // step)))
    decimals = max(0, -floor(log10(step)))
    return Axis(label, 0.0, count * step, tuple(k * step for k in range(count + 1)), decimals)


def round_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is at or above `least`."""
    power = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _share(value: float, axis: Axis) -> float:
    return min(max((value - axis.low) / (axis.high - axis.low), 0.0), 1.0)
