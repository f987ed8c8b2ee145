"""The model that is there before any labels: an ONNX file, its weights and its card, committed beside the code.

`make day-zero` (tasks/day_zero.py) makes all three from drawn frames, and an int8 file where that is good enough. It is
named `day-zero`; its version, under which scores are kept, is `day-zero-` and the first digits of the ONNX file's
SHA-256.
"""

import json
from pathlib import Path
from typing import Any

from pageflip.base.errors import ConfigError, DataError
from pageflip.base.files import sha256_of

NAME = "day-zero"
FOLDER = Path(__file__).with_name("pretrained")
MODEL_FILE, WEIGHTS_FILE, CARD_FILE = "day-zero.onnx", "day-zero.safetensors", "day-zero.json"
INT8_FILE = "day-zero.int8.onnx"
INT8 = "int8"  # `MODEL@int8` names the int8 file of a model
COMPACT_WEIGHTS_FILE, COMPACT_CARD_FILE = "day-zero.cnn.safetensors", "day-zero.cnn.json"  # of the compact network
DIGESTS = {MODEL_FILE: "onnx_sha256", WEIGHTS_FILE: "weights_sha256", INT8_FILE: "int8_sha256"}  # of the card
DIGITS = 12
MAKE, MAKE_COMPACT = "make day-zero", "python -m tasks.day_zero --network cnn"


def is_day_zero(model: str) -> bool:
    """Whether a user's word for a model means this one, or a version of it."""
    return model == NAME or model.startswith(f"{NAME}-")


def read_card(folder: Path = FOLDER) -> dict[str, Any]:
    """What the model was made from, and how good it is.

    Raises:
        DataError: there is none.
    """
    return _read_json(folder / CARD_FILE, f"there is no model day-zero in {folder}", MAKE)


def read_compact_card(folder: Path = FOLDER) -> dict[str, Any]:
    """What the compact network's weights were made from, and how good they are.

    Raises:
        DataError: there are none.
    """
    return _read_json(folder / COMPACT_CARD_FILE, f"there are no day-zero weights of cnn in {folder}", MAKE_COMPACT)


def _read_json(path: Path, missing: str, command: str) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(missing, f"restore the folder, or run `{command}`.") from None


def compact_weights(folder: Path = FOLDER) -> Path:
    """The path of the compact network's weights, once their content is found to be what their card names.

    Raises:
        DataError: they are missing, or others.
    """
    return _checked(folder / COMPACT_WEIGHTS_FILE, read_compact_card(folder)["weights_sha256"], MAKE_COMPACT)


def _checked(path: Path, expected: str, command: str) -> Path:
    digest = sha256_of(path) if path.is_file() else "none: it is missing"
    if digest != expected:
        raise DataError(
            f"{path} has the SHA-256 {digest}, its card names {expected}",
            f"restore {path.parent} (`git checkout`), or run `{command}`.",
        )
    return path


def version_of(card: dict[str, Any]) -> str:
    """`day-zero-` and the first digits of the ONNX file's SHA-256."""
    return f"{NAME}-{card['onnx_sha256'][:DIGITS]}"


def checked_file(name: str, folder: Path = FOLDER) -> Path:
    """The path of MODEL_FILE, WEIGHTS_FILE or INT8_FILE, once its content is found to be what the card names.

    Raises:
        ConfigError: it is INT8_FILE, and the model has none.
        DataError: it is missing, or another file.
    """
    expected = read_card(folder).get(DIGESTS[name])
    if expected is None:
        raise ConfigError(f"{NAME} has no int8 file; {CARD_FILE} says why", "leave out `@int8`.")
    return _checked(folder / name, expected, MAKE)
