"""The parameters of the pipeline: `params.yaml` read into frozen, typed models.

An unknown or missing key and a value out of range are errors that name the key, the value and the file.
"""

from typing import Annotated, Literal

from pydantic import Field

from pageflip.params.sections import Count, Section, Seed, Share


class Int8(Section):
    """The int8 file: frames of the train part that set its ranges, and the F1 it may lose on validation, in points."""

    calibration_frames: Count
    max_f1_loss: Annotated[float, Field(ge=0, le=100)]


class Register(Section):
    """The registered model's name, the limits of the export's checks, and runs that its latency is the median of."""

    model_name: str
    parity_frames: Count
    max_parity_error: Annotated[float, Field(gt=0)]
    latency_runs: Count
    int8: Int8


class Override(Section):
    """One version that is promoted though the gate says no; the reason goes into the journal of alias moves."""

    version: Count
    reason: Annotated[str, Field(min_length=1)]


class Promote(Section):
    """What a candidate must show on the test split before the alias `champion` moves to it; 0 turns a limit off.

    `min_book_f1` holds for each book with frames of both labels, where books are known. `max_latency_ms` is the median
    of single frames on one core of the machine that promotes. The candidate takes the champion's place when a paired
    bootstrap over groups gives at least `min_probability` that its F1 is at most `f1_margin` lower.

    `approval` is `automatic`, or `manual`: a person must approve before the champion changes, in Airflow's task
    approve_promotion, or outside Airflow by PAGEFLIP_APPROVED_BY. Either way the gate decides too. It changes no
    comparison, so the stage does not depend on it.
    """

    min_f1: Share
    approval: Literal["automatic", "manual"]
    min_book_f1: Share
    max_latency_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    f1_margin: Share
    min_probability: Share
    bootstrap_samples: Count
    seed: Seed
    override: Override | None = None
