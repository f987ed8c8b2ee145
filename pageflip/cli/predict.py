"""The command `predict`: frames, flips and page stills of images and videos."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pageflip.base.errors import EXIT_DATA, ConfigError
from pageflip.cli.models import ModelOption, NameOption, load_model
from pageflip.cli.output import Format, FormatOption, make_console, print_csv, print_json

if TYPE_CHECKING:
    from pageflip.inference.predictor import Predictor
    from pageflip.params.scoring import Stills

EVENT_COLUMNS = ("path", "what", "first", "last", "start_s", "end_s", "about")


def predict_command(
    paths: Annotated[list[Path], typer.Argument(help="Images, folders, videos.")],
    model: ModelOption = None,
    name: NameOption = None,
    output: FormatOption = Format.TABLE,
    events: Annotated[bool, typer.Option("--events", help="Print the flips of each video or folder instead.")] = False,
    stills: Annotated[
        Path | None, typer.Option(help="As --events; also write the still of each page into this folder.")
    ] = None,
) -> None:
    """Predict for each image, or each frame of a video, whether a page is in the air."""
    from pageflip.footage.predict import list_inputs, predict_files

    if events or stills:
        _predict_events(load_model(model, name), paths, stills, output)
        return
    files = list_inputs(paths)  # before a model is fetched
    predictions = [vars(prediction) for prediction in predict_files(load_model(model, name), files)]
    _print_predictions(predictions, output)
    bad = [row for row in predictions if row["error"]]
    for row in bad:
        print(f"error: {row['error']}", file=sys.stderr)
    if bad:
        raise typer.Exit(EXIT_DATA)


def load_stills_params() -> "Stills":
    """Return the section `stills` of the project's params file, or its defaults outside a project."""
    from pageflip.base import settings
    from pageflip.params.load import load_section
    from pageflip.params.scoring import Stills

    try:
        root = settings.project_root()
    except ConfigError:
        return Stills()
    return load_section(root / "params.yaml", "stills", Stills)


def _predict_events(predictor: "Predictor", paths: list[Path], stills: Path | None, output: Format) -> None:
    from pageflip.events.sequence_model import load_sequence_model
    from pageflip.footage.predict import event_rows, events_as_json, find_events
    from pageflip.footage.read_events import StillsOutput
    from pageflip.inference.cards import PRETRAINED

    target = None if stills is None else StillsOutput(load_stills_params(), stills)
    found = find_events(predictor, load_sequence_model(PRETRAINED), paths, target)
    for one in found:
        if one.broken:
            print(f"{one.path}: {one.broken} of {one.frames} frames cannot be read", file=sys.stderr)
    if output is Format.JSON:
        print_json([events_as_json(one) for one in found])
        return
    rows = [row for one in found for row in event_rows(one)]
    if output is Format.CSV:
        print_csv(rows, EVENT_COLUMNS)
        return
    table = Table("path", "what", "frames", "time", "about")
    for row in rows:
        clock = "" if row["start_s"] is None else f"{row['start_s']:.2f} s"
        ends = "" if row["end_s"] is None else f" to {row['end_s']:.2f} s"
        table.add_row(escape(row["path"]), row["what"], f"{row['first']} to {row['last']}", clock + ends, row["about"])
    console = make_console()
    console.print(table)
    for one in found:
        verdict = f"{len(one.flips)} flips" if one.flips else "no flip"
        console.print(escape(f"{one.path}: {verdict} in {one.frames} frames, {len(one.stills)} stills"))


def _print_predictions(rows: list[dict[str, Any]], output: Format) -> None:
    if output is Format.JSON:
        print_json(rows)
        return
    if output is Format.CSV:
        print_csv(rows, rows[0])
        return
    table = Table("path", "frame", "time", "probability", "label", "review")
    for row in rows:
        time_s = "" if row["time_s"] is None else f"{row['time_s']:.2f} s"
        probability = "" if row["probability"] is None else f"{row['probability']:.4f}"
        frame = "" if row["frame"] is None else str(row["frame"])
        label, review = row["label"] or "cannot be read", "uncertain" if row["review"] else ""
        table.add_row(escape(row["path"]), frame, time_s, probability, label, review)
    make_console().print(table)
