"""Scene files: JSON with the script of a clip or video, and what each frame shows."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from pageflip.base.files import write_json
from pageflip.synthetic.stage.clips import Clip
from pageflip.synthetic.stage.motion import SceneState, Script

SCENE_FORMAT = 1


def write_scene(path: Path, script: Script, states: Iterable[tuple[int, SceneState]], clip: Clip | None = None) -> None:
    """Write a scene file: the clip, if it is one, its script, and number, lift and open pages of each frame."""
    frames = [{"number": number, "lift": round(state.lift, 6), "pages": state.pages} for number, state in states]
    content = {"format": SCENE_FORMAT, "clip": asdict(clip) if clip else None, "script": asdict(script)}
    write_json(path, content | {"frames": frames})
