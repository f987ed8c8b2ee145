"""Checks of the frame table with Great Expectations, before any model is trained on the frames.

Great Expectations reads the table (one row per frame), not the images. A failed expectation of severity `critical`
stops the pipeline, a `warning` is reported.
"""

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from pageflip.base.errors import DataError
from pageflip.base.files import write_json
from pageflip.frames.names import LABELS
from pageflip.params.validate import Validate

EXAMPLES = 5
NO_LIMIT = 10**9


@dataclass(frozen=True)
class FrameCheck:
    """Result of one expectation over the frame table.

    Attributes:
        name: the condition, in words.
        severity: `critical` or `warning`.
        success: whether it holds.
        failed, checked: number of rows that fail it, and of all rows it looked at.
        observed: a value that the expectation reports; empty where there is none.
        examples: paths of some of the frames that fail.
    """

    name: str
    severity: str
    success: bool
    failed: int
    checked: int
    observed: str
    examples: tuple[str, ...]


def check_frames(index: pd.DataFrame, limits: Validate, out: Path) -> list[FrameCheck]:
    """Validate the frame table and write `result.json` and `docs/` (GX Data Docs) below the folder `out`.

    Equal frames and limits give an equal `result.json`; the Data Docs carry the time of the check.

    Args:
        index: the pack's index, one row per frame.
        limits: the thresholds.
        out: an existing folder.

    Returns:
        The result of each expectation, in the order of the suite.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    import great_expectations as gx

    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)  # it sets INFO itself
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("index")
    expectations = _expectations(limits)
    order = [expectation.meta["name"] for expectation in expectations]
    suite = context.suites.add(gx.ExpectationSuite(name="frames", expectations=expectations))
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name="frames", data=asset.add_batch_definition_whole_dataframe("all"), suite=suite)
    )
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name="frames",
            validation_definitions=[definition],
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["path"]},
        )
    )
    run = checkpoint.run(batch_parameters={"dataframe": _with_counts(index)})
    (result,) = run.run_results.values()
    checks = [_check(entry, len(index)) for entry in result.to_json_dict()["results"]]
    checks.sort(key=lambda check: (order.index(check.name), check.severity))  # GX groups them by column
    _write(out, context, checks)
    return checks


def _with_counts(index: pd.DataFrame) -> pd.DataFrame:
    """Add the columns that the expectations on clips, books and images look at."""
    table = index.copy()
    table["clips_of_label"] = table.groupby("label")["clip"].transform("nunique")
    table["clips_of_book"] = table.groupby("book")["clip"].transform("nunique")  # null where no book is known
    table["frames_of_clip"] = table.groupby("clip")["frame"].transform("size")
    table["labels_of_picture"] = table.groupby("sha256")["label"].transform("nunique")
    return table


def _expectations(limits: Validate) -> list[Any]:
    import great_expectations.expectations as gxe

    def between(name: str, column: str, low: float, high: float = NO_LIMIT, **options: Any) -> Any:
        return gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=low, max_value=high, meta={"name": name}, **options
        )

    return [
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["label", "video", "frame"], meta={"name": "frame keys (label, video, frame) are unique"}
        ),
        gxe.ExpectColumnValuesToBeInSet(column="label", value_set=list(LABELS), meta={"name": "labels are known"}),
        gxe.ExpectColumnDistinctValuesToContainSet(
            column="label", value_set=list(LABELS), meta={"name": "both labels are present"}
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="decodable",
            value_set=[True],
            mostly=limits.min_decodable_share,
            meta={"name": f"at least {limits.min_decodable_share:.2%} of the frames can be decoded"},
        ),
        between(f"frames are at least {limits.min_width} pixels wide", "width", limits.min_width),
        between(f"frames are at least {limits.min_height} pixels high", "height", limits.min_height),
        between("no picture stands under two labels", "labels_of_picture", 1, 1),
        between("frame numbers are positive", "frame", 1),
        between(
            f"a label has at least {limits.min_clips_per_label} clips", "clips_of_label", limits.min_clips_per_label
        ),
        between(
            f"a clip has at least {limits.min_frames_per_clip} frames", "frames_of_clip", limits.min_frames_per_clip
        ),
        between(
            f"at least {limits.brightness_share:.2%} of the frames have a mean brightness of "
            f"{limits.brightness[0]:g} to {limits.brightness[1]:g}",
            "brightness_mean",
            *limits.brightness,
            mostly=limits.brightness_share,
        ),
        between(
            f"a label has at least {limits.warn_clips_per_label} clips",
            "clips_of_label",
            limits.warn_clips_per_label,
            severity="warning",
        ),
        between(
            f"a book has at least {limits.warn_clips_per_book} clips",
            "clips_of_book",
            limits.warn_clips_per_book,
            severity="warning",
        ),
        between(
            f"a clip has at least {limits.warn_frames_per_clip} frames",
            "frames_of_clip",
            limits.warn_frames_per_clip,
            severity="warning",
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column="book", meta={"name": "the book of every clip is known"}, severity="warning"
        ),
    ]


def _check(entry: dict[str, Any], rows: int) -> FrameCheck:
    config, result = entry["expectation_config"], entry["result"]
    examples = [row["path"] for row in result.get("unexpected_index_list") or []]
    observed = result.get("observed_value") or ""
    if result.get("partial_missing_list"):
        observed = f"without {', '.join(result['partial_missing_list'])}"
    if entry["exception_info"].get("raised_exception"):
        observed = entry["exception_info"]["exception_message"]
    return FrameCheck(
        name=config["meta"]["name"],
        severity=config["severity"],
        success=entry["success"],
        failed=result.get("unexpected_count", 0),
        checked=result.get("element_count", rows),
        observed=json.dumps(observed) if isinstance(observed, list) else str(observed),
        examples=tuple(sorted(examples)[:EXAMPLES]),
    )


def _write(out: Path, context: Any, checks: list[FrameCheck]) -> None:
    write_json(out / "result.json", {"success": not breaches(checks), "checks": [vars(check) for check in checks]})
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str((out / "docs").absolute()),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site("local", site)
    context.build_data_docs(["local"])


def failure_table(checks: list[FrameCheck]) -> Table:
    """Return the failed checks as a table: how many frames fail each, and paths of some."""
    table = Table("severity", "check", "failed", "observed", "examples", title="frames that fail checks")
    for check in checks:
        if not check.success:
            count = f"{check.failed} of {check.checked}" if check.failed else ""
            table.add_row(check.severity, check.name, count, check.observed, "\n".join(map(escape, check.examples)))
    return table


def breaches(checks: list[FrameCheck]) -> list[FrameCheck]:
    """Return the failed checks that stop the pipeline."""
    return [check for check in checks if not check.success and check.severity == "critical"]


def refuse_breaches(checks: list[FrameCheck], out: Path) -> None:
    """Raise if a critical check failed.

    Raises:
        DataError: names the first of them.
    """
    found = breaches(checks)
    if found:
        raise DataError(
            f"the frames fail {len(found)} checks, the first: {found[0].name}",
            f"correct the frames named above, or the limits in params.yaml; details: {out / 'docs/index.html'}.",
        )
