"""The description of a recording on disk: `scene.json` beside each clip and video, from which it can be drawn again."""

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pageflip.base.errors import DataError
from pageflip.base.files import write_json
from pageflip.synthetic.stage.clips import Clip
from pageflip.synthetic.stage.motion import Script

FORMAT = 1


def write_scene(path: Path, script: Script, frames: list[dict], clip: Clip | None = None) -> None:
    """Write the description of a recording; `frames` says number, lift and open pages of each frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, "clip": asdict(clip) if clip else None, "script": asdict(script), "frames": frames}
    write_json(path, content)


def read_scene(path: Path) -> tuple[Script, Clip | None]:
    """Read a description.

    Raises:
        DataError: the file is missing or is not such a description.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}")
        script = TypeAdapter(Script).validate_python(content["script"])
        return script, TypeAdapter(Clip | None).validate_python(content["clip"])
    except FileNotFoundError:
        raise DataError(f"there is no {path}", "name the scene file of a clip or video.") from None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} describes no scene: {reason}", "synthesise the recording again.") from None
