"""Section `promote`."""

from typing import Annotated, Literal

from pydantic import Field

from pageflip.params.sections import Count, Section, Seed, Share


class Override(Section):
    """Promotion of one version that the gate refuses; the journal of alias moves keeps the reason."""

    version: Count
    reason: Annotated[str, Field(min_length=1)]


class Promote(Section):
    """Promotion gate: limits on the test split before the alias `champion` moves to a candidate; 0 turns one off.

    Attributes:
        approval: with `manual` a person must approve before the champion changes, in Airflow's task approve_promotion
            or by PAGEFLIP_APPROVED_BY; the gate decides too. It changes no comparison, so the stage does not depend on
            it.
        min_book_f1: of each book with frames of both labels, where books are known.
        max_latency_ms: median of single frames on one core of the machine that promotes.
        f1_margin: margin of the non-inferiority test against the champion: F1 that the candidate may lose.
        min_probability: least probability, by a paired bootstrap over groups, that it loses at most `f1_margin`.
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
