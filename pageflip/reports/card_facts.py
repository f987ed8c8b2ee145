"""Measure a trained network: calibration, threshold and review band on validation, the rest on the test part; a report.

    python -m tasks.evaluate --model cnn --frames data/frames --split data/split \\
        --models models/trained/cnn --out reports/evaluation/cnn
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pageflip.base.provenance import data_version, environment, git_revision
from pageflip.inference import cards
from pageflip.networks.build import INITIAL


def count_parts(assignment: pd.DataFrame) -> list[dict[str, Any]]:
    """Of each part of the split its frames, flips, clips, groups and (known) books."""
    order = ("train", "val", "test", "unused")
    return [
        {
            "part": part,
            "frames": len(table),
            "flips": int((table["label"] == "flip").sum()),
            **{f"{name}s": int(table[name].nunique()) for name in ("clip", "group", "book")},
        }
        for part, table in sorted(assignment.groupby("part"), key=lambda entry: order.index(entry[0]))
    ]


def gather_facts(
    assignment: pd.DataFrame, config: Mapping[str, Any], frames: Path, split: Path
) -> dict[str, dict[str, Any]]:
    """What the report tells of data, split, model, training, environment and licences: {section: {name: value}}."""
    leaks = {name: value for name, value in read_json(split / "leaks.json").items() if not isinstance(value, Mapping)}
    first = {"git revision": git_revision(), **{name: config.get(name) for name in ("network", "weights_sha256")}}
    rest = _plain({name: value for name, value in config.items() if name not in first})
    training = {name: value for name, value in rest.items() if name.startswith(("fit.", "augment."))}
    return {
        "Data": {"data version": data_version(), **_plain(read_json(frames / "pack.json"))},
        "Split": _plain(leaks),
        "Model": first | {name: value for name, value in rest.items() if name not in training},
        "Training": training,
        "Environment": environment(),
        "Licences": licences(config.get("settings", {}).get(INITIAL, "none")),
    }


def licences(initial: str) -> dict[str, str]:
    """Whose terms hold for the frames, the code, and the weights that the training began from."""
    terms = {"frames": "those of their owner; this page shows some", "code": "Apache-2.0"}
    if initial == "none":
        return terms | {"initial weights": "none, trained from scratch"}
    if initial == cards.NAME:
        return terms | {
            f"initial weights ({initial}), {of}": text for of, text in cards.read_card()["licences"].items()
        }
    return terms | {"initial weights": f"{initial}: see where they come from"}


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _plain(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names; long lists as their length."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _plain(value, f"{prefix}{name}.")
        elif isinstance(value, list) and (len(value) > 12 or any(isinstance(one, list | dict) for one in value)):
            flat[prefix + name] = f"{len(value)} entries"
        else:
            flat[prefix + name] = "none" if value in (None, []) else value
    return flat
