"""Commands that measure a model, or a network under several evaluation protocols."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pageflip.cli.data import PARAMS, RAW
from pageflip.cli.models import ModelOption, NameOption, load_model
from pageflip.cli.output import (
    Format,
    FormatOption,
    TreeFormatOption,
    as_table,
    make_console,
    print_csv,
    print_json,
    scalars_of,
)
from pageflip.cli.predict import load_stills_params

PROTOCOLS_OUT, VIDEOS_OUT = Path("reports/protocols"), Path("reports/videos")
NARROW = 120  # columns of short tables that are piped


def evaluate_command(
    data: Annotated[Path, typer.Option(help="A labelled folder in the archive's layout.")],
    model: ModelOption = None,
    books: Annotated[Path | None, typer.Option(help="A CSV of label,video_id,book: adds results per book.")] = None,
    name: NameOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Measure a model on labelled frames, at the threshold chosen in training."""
    from pageflip.evaluation.folder import evaluate_folder

    result = evaluate_folder(data, load_model(model, name), books=books)
    if output is Format.JSON:
        print_json(result)
    elif output is Format.CSV:
        row = scalars_of(result) | result["confusion"]
        print_csv([row], row)
    else:
        _print_evaluation(result)


def evaluate_videos_command(
    folder: Annotated[Path, typer.Argument(help="Videos, each NAME.mp4 with its truth NAME.events.json beside it.")],
    model: ModelOption = None,
    name: NameOption = None,
    out: Annotated[Path, typer.Option(help="Folder of report.html and videos.json.")] = VIDEOS_OUT,
    pages: Annotated[bool, typer.Option("--pages", help="Judge page stills too; decodes videos twice.")] = False,
    output: Annotated[
        Format, typer.Option("--format", help="Output format; CSV has a row for each video.")
    ] = Format.TABLE,
) -> None:
    """Measure how well a model finds the flips of labelled videos, and report true and found flips on timelines."""
    from pageflip.evaluation.videos import evaluate_videos, list_videos
    from pageflip.events.sequence_model import load_sequence_model
    from pageflip.inference.cards import PRETRAINED
    from pageflip.reports.videos_page import VIDEOS_PAGE, write_videos_report

    list_videos(folder)  # before a model is fetched
    plan = load_stills_params() if pages else None
    predictor, sequence_model = load_model(model, name), load_sequence_model(PRETRAINED)
    result, timelines = evaluate_videos(folder, predictor, sequence_model, plan=plan)
    write_videos_report(out, result, timelines)
    if output is Format.JSON:
        print_json(result)
    elif output is Format.CSV:
        print_csv(result["videos"], result["videos"][0])
    else:
        _print_events(result)
        print(f"report: {out / VIDEOS_PAGE}")


def benchmark_protocols_command(
    data: Annotated[Path, typer.Option(help="A labelled folder in the archive's layout, with books.csv.")] = RAW,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="Protocol; may be given several times.", show_default="protocols.run of params.yaml"),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Network.", show_default="the first of train.models of params.yaml")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of results and finished folds.")] = PROTOCOLS_OUT,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs, instead of those of the params file.")] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, max=50, help="Folds of clip-disjoint, instead of protocols.folds.")
    ] = None,
    params: Annotated[Path, typer.Option(help="The params file.")] = PARAMS,
    output: TreeFormatOption = Format.TABLE,
) -> None:
    """Train and test a network under each protocol, from honest to leaky; finished folds are not trained again."""
    import logging

    from pageflip.evaluation.protocol_benchmark import benchmark_protocols
    from pageflip.evaluation.protocol_tables import NOTES, PROTOCOLS_FILE, TABLE_FILE, protocols_table
    from pageflip.events.temporal import load_temporal
    from pageflip.inference.cards import PRETRAINED
    from pageflip.params.all import load_params

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    settings = load_params(params)
    if folds is not None:
        changed = settings.protocols.model_copy(update={"folds": folds})
        settings = settings.model_copy(update={"protocols": changed})
    network = model or settings.train.models[0]
    protocols = protocol or settings.protocols.run
    result = benchmark_protocols(
        data,
        out,
        model=network,
        params=settings,
        protocols=protocols,
        temporal=load_temporal(PRETRAINED),
        epochs=epochs,
    )
    if output is Format.JSON:
        print_json(result)
        return
    console = make_console(highlight=False)
    console.print(protocols_table(result))
    console.print(NOTES, soft_wrap=True)
    print(f"{out / network / PROTOCOLS_FILE} and {TABLE_FILE} beside it")


def _print_evaluation(result: dict[str, Any]) -> None:
    console = make_console(NARROW)
    title = f"{_describe_model(result)} on {result['n']} frames, {result['n_flip']} of them flip"
    head = Table("measure", "value", title=title)
    for key in ("f1", "precision", "recall", "roc_auc", "threshold"):
        head.add_row(key, "one class only" if result[key] is None else f"{result[key]:.4f}")
    head.add_row("counts", ", ".join(f"{key} {value}" for key, value in result["confusion"].items()))
    console.print(head)
    for title in ("clips", "books"):
        if result.get(title):
            console.print(as_table(title, result[title]))
    for entry in result["undecodable"]:
        console.print(escape(f"not counted: {entry['path']}: {entry['error']}"), style="red")


def _print_events(result: dict[str, Any]) -> None:
    table = Table("found by", "F1", "precision", "recall", "found", "onset", "offset", "counted right")
    table.title = (
        f"{_describe_model(result)}: {result['finders']['decoder']['n_true']} flips of {len(result['videos'])} videos"
    )
    for name, row in result["finders"].items():
        errors = ["" if row[edge] is None else f"{row[edge]['median']:.0f} ms" for edge in ("onset_ms", "offset_ms")]
        scores = [f"{row[key]:.3f}" for key in ("f1", "precision", "recall")]
        table.add_row(name, *scores, str(row["n_found"]), *errors, f"{row['counted_right']:.0%}")
    console = make_console(NARROW)
    console.print(table)
    frames = result["frames"]
    console.print(f"F1 of frames {frames['in_sequence']['f1']:.3f}, by single frames alone {frames['alone']['f1']:.3f}")
    if result["stills"]:
        console.print("page recall {page_recall:.3f}, duplicates {page_duplicates:.1%}".format(**result["stills"]))


def _describe_model(result: dict[str, Any]) -> str:
    return " ".join(str(part) for part in (result["model"], result["version"]) if part)
