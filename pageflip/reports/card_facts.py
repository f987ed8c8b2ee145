"""Facts for the card of the evaluation page: data, split, model, training, environment and licences."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pageflip.base.files import read_json
from pageflip.base.nested import flatten
from pageflip.base.provenance import data_version, environment, git_revision
from pageflip.frames.assignment import LEAKS_FILE
from pageflip.frames.pack import FACTS_FILE
from pageflip.inference import cards
from pageflip.networks.build import INITIAL

MAX_LISTED = 12  # a longer list is shown as its length


def count_parts(assignment: pd.DataFrame) -> list[dict[str, Any]]:
    """Count the frames, flips, clips, groups and known books of each part of a split."""
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


def gather_facts(config: Mapping[str, Any], frames: Path, split: Path) -> dict[str, dict[str, Any]]:
    """Return the facts as {section: {name: value}}.

    Args:
        config: of the trained network (see `pageflip.networks.saved.read_config`).
        frames: folder of the pack.
        split: folder of the assignment.
    """
    leaks = {name: value for name, value in read_json(split / LEAKS_FILE).items() if not isinstance(value, Mapping)}
    first = {"git revision": git_revision(), **{name: config.get(name) for name in ("network", "weights_sha256")}}
    rest = _settings({name: value for name, value in config.items() if name not in first})
    training = {name: value for name, value in rest.items() if name.startswith(("fit.", "augment."))}
    return {
        "Data": {"data version": data_version(), **_settings(read_json(frames / FACTS_FILE))},
        "Split": _settings(leaks),
        "Model": first | {name: value for name, value in rest.items() if name not in training},
        "Training": training,
        "Environment": environment(),
        "Licences": licences(config.get("settings", {}).get(INITIAL, "none")),
    }


def licences(initial: str) -> dict[str, str]:
    """Return the licences of the frames, the code and the weights that the training started from."""
    terms = {"frames": "those of their owner; this page shows some frames", "code": "Apache-2.0"}
    if initial == "none":
        return terms | {"initial weights": "none, trained from scratch"}
    if initial == cards.NAME:
        return terms | {
            f"initial weights ({initial}), {of}": text
            for of, text in cards.read_card(cards.PRETRAINED)["licences"].items()
        }
    return terms | {"initial weights": f"{initial}: those of their source"}


def _settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten settings to dotted names; show long or nested lists as their length."""
    return {
        name: f"{len(value)} entries" if _is_long(value) else "none" if value in (None, []) else value
        for name, value in flatten(content).items()
    }


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and (len(value) > MAX_LISTED or any(isinstance(one, list | dict) for one in value))
