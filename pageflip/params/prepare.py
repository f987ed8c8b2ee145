"""Section `prepare`."""

from typing import Annotated

from pydantic import Field

from pageflip.params.sections import Section


class Prepare(Section):
    """Size in pixels of the packed frames, which is the size of the model's input."""

    width: Annotated[int, Field(ge=16, le=2048)]
    height: Annotated[int, Field(ge=16, le=2048)]
