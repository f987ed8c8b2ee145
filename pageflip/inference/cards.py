"""Cards of the pretrained models that ship with the package: day-zero and the compact network's weights.

day-zero predicts before there are any labels. It consists of an ONNX file, its weights and its card in
`inference/pretrained/`, and an int8 file if that is accurate enough. `make day-zero` (tasks/day_zero.py) trains it on
drawn frames. Its version is `day-zero-` and the first digits of the ONNX file's SHA-256.
"""

import json
from pathlib import Path
from typing import Any

from pageflip.base.errors import ConfigError, DataError
from pageflip.base.files import sha256_of

PRETRAINED = Path(__file__).with_name("pretrained")
NAME = "day-zero"
MODEL_FILE, WEIGHTS_FILE, CARD_FILE = "day-zero.onnx", "day-zero.safetensors", "day-zero.json"
INT8_FILE = "day-zero.int8.onnx"
INT8 = "int8"  # `MODEL@int8` names the int8 file of a model
COMPACT_WEIGHTS_FILE, COMPACT_CARD_FILE = "day-zero.cnn.safetensors", "day-zero.cnn.json"  # of the compact network
DIGESTS = {MODEL_FILE: "onnx_sha256", WEIGHTS_FILE: "weights_sha256", INT8_FILE: "int8_sha256"}  # keys of the card
DIGITS = 12  # of a SHA-256 in a version
MAKE, MAKE_COMPACT = "make day-zero", "python -m tasks.day_zero --network cnn"


def is_day_zero(model: str) -> bool:
    """Decide whether a model name means day-zero, or a version of it."""
    return model == NAME or model.startswith(f"{NAME}-")


def read_card(folder: Path) -> dict[str, Any]:
    """Read day-zero's card: parameters, provenance and metrics.

    Raises:
        DataError: there is none in the folder.
    """
    return _read_json(folder / CARD_FILE, f"there is no model day-zero in {folder}", MAKE)


def read_compact_card(folder: Path) -> dict[str, Any]:
    """Read the card of the compact network's weights.

    Raises:
        DataError: there is none in the folder.
    """
    return _read_json(folder / COMPACT_CARD_FILE, f"there are no day-zero weights of cnn in {folder}", MAKE_COMPACT)


def _read_json(path: Path, missing: str, command: str) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(missing, f"restore the folder, or run `{command}`.") from None


def version_of(card: dict[str, Any]) -> str:
    """Return day-zero's version."""
    return f"{NAME}-{card['onnx_sha256'][:DIGITS]}"


def checked_file(name: str, folder: Path) -> Path:
    """Return the path of MODEL_FILE, WEIGHTS_FILE or INT8_FILE after checking it against the card.

    Raises:
        ConfigError: it is INT8_FILE, and day-zero has none.
        DataError: it is missing or has been changed.
    """
    expected = read_card(folder).get(DIGESTS[name])
    if expected is None:
        raise ConfigError(f"{NAME} has no int8 file; {CARD_FILE} says why", "leave out `@int8`.")
    return _check_digest(folder / name, expected, MAKE)


def compact_weights(folder: Path) -> Path:
    """Return the path of the compact network's weights after checking it against their card.

    Raises:
        DataError: they are missing or have been changed.
    """
    expected = read_compact_card(folder)["weights_sha256"]
    return _check_digest(folder / COMPACT_WEIGHTS_FILE, expected, MAKE_COMPACT)


def _check_digest(path: Path, expected: str, command: str) -> Path:
    digest = sha256_of(path) if path.is_file() else "none: it is missing"
    if digest != expected:
        raise DataError(
            f"{path} has the SHA-256 {digest}, its card names {expected}",
            f"restore {path.parent} (`git checkout`), or run `{command}`.",
        )
    return path
