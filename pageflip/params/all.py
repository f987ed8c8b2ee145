"""Model of the whole of params.yaml, for programs that read many sections; stages load single ones."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from pageflip.params.day_zero import DayZero
from pageflip.params.evaluation import Evaluate
from pageflip.params.events import Events
from pageflip.params.load import REMEDY, parse, read_yaml
from pageflip.params.prepare import Prepare
from pageflip.params.promote import Promote
from pageflip.params.protocols import Protocols
from pageflip.params.register import Register
from pageflip.params.scoring import ScoreUploads, Stills
from pageflip.params.sections import Section
from pageflip.params.split import Split
from pageflip.params.training import Train
from pageflip.params.validate import Validate


class Params(Section):
    """Content of params.yaml, with one field per stage or job."""

    synthesize: dict[str, Any]  # checked by pageflip.synthetic.ranges, which knows the keys
    prepare: Prepare
    validate_: Annotated[Validate, Field(alias="validate")]
    split: Split
    train: Train
    evaluate: Evaluate
    register_: Annotated[Register, Field(alias="register")]
    promote: Promote
    score_uploads: ScoreUploads
    protocols: Protocols
    day_zero: DayZero
    events: Events
    stills: Stills


def load_params(path: Path) -> Params:
    """Read and check a whole params file.

    Raises:
        ConfigError: the file is missing, is not YAML, or has an unknown, missing or impossible value.
    """
    return parse(Params, read_yaml(path), path, REMEDY)
