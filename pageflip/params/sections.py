"""Base class and value types of the sections of params.yaml."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # NumPy and scikit-learn refuse others


class Section(BaseModel):
    """A frozen section that refuses unknown keys.

    Attributes:
        RENAMED: old key -> today's key. An old key is an error that gives today's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    RENAMED: ClassVar[dict[str, str]] = {}


class Shares(Section):
    """Shares of the train, validation and test part; they add up to 1."""

    train: Annotated[float, Field(gt=0, lt=1)]
    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _sum_is_one(self) -> "Shares":
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + val + test is {total:g}, and must be 1")
        return self
