"""Nested mappings as flat ones with dotted keys, as parameter and metric stores want them."""

from collections.abc import Mapping
from typing import Any


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted key: `{"fit": {"epochs": 3}}` gives `{"fit.epochs": 3}`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def flatten_numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers among the leaves of nested mappings by dotted key; other leaves are left out."""
    return {
        name: float(value)
        for name, value in flatten(values).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
