"""The command-line program `pageflip`. Everything heavy is imported inside the commands: `--help` is instant."""

import csv
import json
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pageflip import __version__
from pageflip.base.console import run_main
from pageflip.base.errors import EXIT_DATA, ConfigError

if TYPE_CHECKING:
    from pageflip.inference.predictor import Predictor
    from pageflip.params.scoring import Stills

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find page flips in phone videos of books, and keep the model that finds them alive in production.",
)
RAW, PARAMS = Path("data/raw"), Path("params.yaml")
PROTOCOLS_OUT, VIDEOS_OUT = Path("reports/protocols"), Path("reports/videos")
NAME_HELP = "The registered model (default: register.model_name of params.yaml)."
MODEL_HELP = (
    "`champion` (day-zero until there is one), `day-zero`, a version or alias, each with `@int8` added for its int8 "
    "file; or the path of an .onnx file."
)


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def main() -> None:
    """Run the program; mistakes of the user end with a message, not a traceback."""
    run_main(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"pageflip {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


@app.command("import")
def import_command(
    source: Annotated[Path, typer.Argument(help="A zip or a folder in the archive's layout.")],
    out: Annotated[Path, typer.Option(help="The folder of raw frames.")] = RAW,
    monreader: Annotated[bool, typer.Option("--monreader", help="Check the SHA-256 of the MonReader archive.")] = False,
    merge: Annotated[bool, typer.Option("--merge", help="Add to the frames that are there.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of the frames that are there.")] = False,
    track: Annotated[bool, typer.Option(help="Track data/raw with DVC and push it to the remote.")] = True,
) -> None:
    """Bring labelled frames into the project, all of them or none."""
    from pageflip.frames.importing import import_frames

    result = import_frames(source, out, monreader=monreader, merge=merge, replace=replace)
    print(f"imported {result.frames} frames of {result.clips} clips ({result.bytes / 1e6:.0f} MB) into {out}")
    _track(out, track)


@app.command()
def synthesize(
    out: Annotated[Path, typer.Option(help="The folder of raw frames; must not hold any.")] = RAW,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same bytes.")] = None,
    books: Annotated[int | None, typer.Option(help="Different books.")] = None,
    clips_per_book: Annotated[int | None, typer.Option(help="Clips of each book, half of them flips.")] = None,
    frames_per_clip: Annotated[int | None, typer.Option(help="Frames of each clip.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    params: Annotated[Path, typer.Option(help="The file whose section `synthesize` holds all else.")] = PARAMS,
    track: Annotated[bool, typer.Option(help="Track data/raw with DVC and push it to the remote.")] = True,
    uploads: Annotated[
        bool, typer.Option("--uploads", help="Make sample uploads in the upload folder instead.")
    ] = False,
    sheet: Annotated[Path | None, typer.Option(help="Draw a contact sheet into this image instead.")] = None,
    beside: Annotated[Path | None, typer.Option(help="With --sheet: a folder of real frames to show below.")] = None,
    video: Annotated[Path | None, typer.Option(help="Draw an MP4 with its events.json instead.")] = None,
    flips: Annotated[int, typer.Option(help="With --video: how many pages are turned.")] = 5,
    book: Annotated[int, typer.Option(help="With --video: which book.")] = 0,
) -> None:
    """Draw labelled page-flip clips, or a long video: data to try, train and test the system with."""
    from pageflip.synthetic import samples
    from pageflip.synthetic.ranges import Synthesize, load_synthesize

    plan = load_synthesize(params) if params.exists() or params != PARAMS else Synthesize()
    given = {"seed": seed, "books": books, "clips_per_book": clips_per_book, "frames_per_clip": frames_per_clip}
    given |= {"width": width, "height": height}
    plan = plan.model_copy(update={name: value for name, value in given.items() if value is not None})
    if uploads:
        for name in samples.make_uploads(seed=plan.seed):
            print(f"sample upload {name}")
    elif sheet:
        samples.make_sheet(sheet, plan, beside)
        print(f"drew a contact sheet into {sheet}")
    elif video:
        truth = samples.make_video(video, plan, book=book, flips=flips)
        print(f"drew {len(truth['events'])} flips in {truth['frames']} frames into {video}")
    else:
        frames = samples.make_frames(out, plan)
        print(f"drew {frames} frames into {out}")
        _track(out, track)


def _track(out: Path, wanted: bool) -> None:
    """Track the raw folder when it is the project's own."""
    from pageflip.base import settings
    from pageflip.runs.data_versions import track_raw

    if not wanted:
        return
    try:
        project = settings.project_root()
    except ConfigError:
        return
    if out.absolute() == (project / RAW).absolute():
        print(f"tracked as data version {track_raw(project)} (data/raw.dvc), pushed to the DVC remote")


@app.command("publish-data")
def publish_data() -> None:
    """Track data/raw as a new version, push it, and tell Airflow: a run of `retrain` then begins."""
    from pageflip.base import settings
    from pageflip.runs.data_versions import publish

    result = publish(settings.project_root())
    print(f"published data version {result.version} (data/raw.dvc), pushed to the DVC remote")
    print(result.told)


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, folders, videos.")],
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "champion",
    name: Annotated[str | None, typer.Option(help=NAME_HELP)] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
    events: Annotated[bool, typer.Option("--events", help="Print the flips of each video or folder instead.")] = False,
    stills: Annotated[Path | None, typer.Option(help="As --events; write the still of each page into here.")] = None,
) -> None:
    """Say for each picture, or each frame of a video, whether a page is in the air."""
    from pageflip.footage.predict import list_inputs, predict_files
    from pageflip.registry.loading import load_predictor

    files = [] if events or stills else list_inputs(paths)
    predictor = load_predictor(model, _model_name(name))
    if events or stills:
        _predict_events(predictor, paths, stills, output)
        return
    predictions = [vars(prediction) for prediction in predict_files(predictor, files)]
    _print_rows(predictions, output)
    bad = [row for row in predictions if row["error"]]
    for row in bad:
        print(f"error: {row['error']}", file=sys.stderr)
    if bad:
        raise typer.Exit(EXIT_DATA)


def _predict_events(predictor: "Predictor", paths: list[Path], stills: Path | None, output: Format) -> None:
    from pageflip.footage.predict import event_rows, find_events, sequence_facts

    found = find_events(predictor, paths, stills, _stills_plan())
    for sequence in found:
        if sequence.broken:
            print(f"{sequence.path}: {sequence.broken} of {sequence.frames} frames cannot be read", file=sys.stderr)
    if output is Format.JSON:
        print(json.dumps([sequence_facts(sequence) for sequence in found], indent=2))
        return
    rows = [row for sequence in found for row in event_rows(sequence)]
    if output is Format.CSV:
        writer = csv.DictWriter(sys.stdout, fieldnames=["path", "what", "first", "last", "start_s", "end_s", "about"])
        writer.writeheader()
        writer.writerows(rows)
        return
    table = Table("path", "what", "frames", "time", "about")
    for row in rows:
        clock = "" if row["start_s"] is None else f"{row['start_s']:.2f} s"
        ends = "" if row["end_s"] is None else f" to {row['end_s']:.2f} s"
        table.add_row(escape(row["path"]), row["what"], f"{row['first']} to {row['last']}", clock + ends, row["about"])
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for sequence in found:
        verdict = f"{len(sequence.flips)} flips" if sequence.holds_flip else "no flip"
        console.print(escape(f"{sequence.path}: {verdict} in {sequence.frames} frames, {len(sequence.stills)} stills"))


def _stills_plan() -> "Stills":
    from pageflip.base import settings
    from pageflip.params.all import load_params
    from pageflip.params.scoring import Stills

    try:
        root = settings.project_root()
    except ConfigError:
        return Stills()  # outside a project
    return load_params(root / "params.yaml").stills


def _model_name(name: str | None) -> str:
    """The registered model's name: as given, or the project's register.model_name, or the default."""
    from pageflip.base import settings
    from pageflip.params.all import load_params

    if name:
        return name
    try:
        return load_params(settings.project_root() / "params.yaml").register_.model_name
    except ConfigError:
        return "pageflip"  # outside a project


def _print_rows(rows: list[dict], output: Format) -> None:
    if output is Format.JSON:
        print(json.dumps(rows, indent=2))
    elif output is Format.CSV:
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    else:
        table = Table("path", "frame", "time", "probability", "label", "review")
        for row in rows:
            time_s = "" if row["time_s"] is None else f"{row['time_s']:.2f} s"
            probability = "" if row["probability"] is None else f"{row['probability']:.4f}"
            frame = "" if row["frame"] is None else str(row["frame"])
            label, review = row["label"] or "cannot be read", "uncertain" if row["review"] else ""
            table.add_row(escape(row["path"]), frame, time_s, probability, label, review)
        Console(width=None if sys.stdout.isatty() else 160).print(table)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option(help="A labelled folder in the archive's layout.")],
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "champion",
    books: Annotated[Path | None, typer.Option(help="A CSV of label,video_id,book: results per book too.")] = None,
    name: Annotated[str | None, typer.Option(help=NAME_HELP)] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Measure a model on labelled frames, at the threshold that was chosen when it was trained."""
    from pageflip.evaluation.folder import evaluate_folder
    from pageflip.registry.loading import load_predictor

    result = evaluate_folder(data, load_predictor(model, _model_name(name)), books=books)
    if output is Format.JSON:
        print(json.dumps(result, indent=2))
    elif output is Format.CSV:
        scalars = {key: value for key, value in result.items() if not isinstance(value, dict | list)}
        _print_rows([scalars | result["confusion"]], output)
    else:
        _print_evaluation(result)


@app.command("evaluate-videos")
def evaluate_videos(
    folder: Annotated[Path, typer.Argument(help="Videos, each NAME.mp4 with its truth NAME.events.json beside it.")],
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "champion",
    name: Annotated[str | None, typer.Option(help=NAME_HELP)] = None,
    out: Annotated[Path, typer.Option(help="The folder of report.html and videos.json.")] = VIDEOS_OUT,
    pages: Annotated[bool, typer.Option("--pages", help="Judge page stills too; videos are decoded twice.")] = False,
    output: Annotated[
        Format, typer.Option("--format", help="How to print; CSV has a row for each video.")
    ] = Format.TABLE,
) -> None:
    """Measure how well a model finds the flips of labelled videos; a page shows true and found ones on timelines."""
    from pageflip.evaluation.videos import evaluate_videos as measure
    from pageflip.evaluation.videos import list_videos
    from pageflip.registry.loading import load_predictor
    from pageflip.reports.videos_page import REPORT_FILE, write_videos_report

    list_videos(folder)  # refuses before a model is fetched
    plan = _stills_plan() if pages else None
    result, timelines = measure(folder, load_predictor(model, _model_name(name)), plan=plan)
    write_videos_report(out, result, timelines)
    if output is Format.JSON:
        print(json.dumps(result, indent=2))
    elif output is Format.CSV:
        _print_rows(result["videos"], output)
    else:
        _print_events(result)
        print(f"report: {out / REPORT_FILE}")


def _print_events(result: dict) -> None:
    model = " ".join(str(part) for part in (result["model"], result["version"]) if part)
    table = Table("found by", "F1", "precision", "recall", "found", "onset", "offset", "counted right")
    table.title = f"{model}: {result['finders']['decoder']['n_true']} flips of {len(result['videos'])} videos"
    for name, row in result["finders"].items():
        errors = ["" if row[edge] is None else f"{row[edge]['median']:.0f} ms" for edge in ("onset_ms", "offset_ms")]
        scores = [f"{row[key]:.3f}" for key in ("f1", "precision", "recall")]
        table.add_row(name, *scores, str(row["n_found"]), *errors, f"{row['counted_right']:.0%}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    frames = result["frames"]
    console.print(f"F1 of frames {frames['in_sequence']['f1']:.3f}, by single frames alone {frames['alone']['f1']:.3f}")
    if result["stills"]:
        console.print("page recall {page_recall:.3f}, duplicates {page_duplicates:.1%}".format(**result["stills"]))


@app.command("benchmark-protocols")
def benchmark_protocols(
    data: Annotated[Path, typer.Option(help="A labelled folder in the archive's layout, with books.csv.")] = RAW,
    protocol: Annotated[
        list[str] | None, typer.Option(help="Which, by name; several times for several (default: protocols.run).")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The network (default: the first of train.models).")] = None,
    out: Annotated[Path, typer.Option(help="Where results and finished folds are kept.")] = PROTOCOLS_OUT,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of those of the params.")] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, max=50, help="Of clip-disjoint, instead of protocols.folds.")
    ] = None,
    params: Annotated[Path, typer.Option(help="The params file.")] = PARAMS,
    output: Annotated[Format, typer.Option("--format", help="table or json.")] = Format.TABLE,
) -> None:
    """Train and test a network under each protocol, from honest to leaky; finished folds are not trained again."""
    import logging

    from pageflip.evaluation.protocol_benchmark import RESULT_FILE, TABLE_FILE
    from pageflip.evaluation.protocol_benchmark import benchmark_protocols as measure
    from pageflip.evaluation.protocol_tables import NOTES, as_table
    from pageflip.params.all import load_params

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    settings = load_params(params)
    if folds is not None:
        changed = settings.protocols.model_copy(update={"folds": folds})
        settings = settings.model_copy(update={"protocols": changed})
    network = model or settings.train.models[0]
    wanted = protocol or settings.protocols.run
    result = measure(data, out, model=network, params=settings, wanted=wanted, epochs=epochs)
    if output is Format.JSON:
        print(json.dumps(result, indent=2))
        return
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(as_table(result))
    console.print(NOTES, soft_wrap=True)
    print(f"{out / network / RESULT_FILE} and {TABLE_FILE} beside it")


def _print_evaluation(result: dict) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120)
    model = " ".join(str(part) for part in (result["model"], result["version"]) if part)
    head = Table("measure", "value", title=f"{model} on {result['n']} frames, {result['n_flip']} of them flip")
    for key in ("f1", "precision", "recall", "roc_auc", "threshold"):
        head.add_row(key, "one class only" if result[key] is None else f"{result[key]:.4f}")
    head.add_row("counts", ", ".join(f"{key} {value}" for key, value in result["confusion"].items()))
    console.print(head)
    for title in ("clips", "books"):
        if result.get(title):
            console.print(_as_table(title, result[title]))
    for entry in result["undecodable"]:
        console.print(escape(f"not counted: {entry['path']}: {entry['error']}"), style="red")


def _as_table(title: str, rows: Iterable[dict]) -> Table:
    rows = [{key: value for key, value in row.items() if not isinstance(value, dict | list)} for row in rows]
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(f"{value:.4f}" if isinstance(value, float) else escape(str(value)) for value in row.values()))
    return table


@app.command()
def lineage(
    version: Annotated[str, typer.Argument(help="A model version, or an alias such as champion.")],
    name: Annotated[str | None, typer.Option(help=NAME_HELP)] = None,
    output: Annotated[Format, typer.Option("--format", help="table or json.")] = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    uploads: Annotated[int, typer.Option(min=0, help="How many of the scored uploads are named.")] = 5,
) -> None:
    """Trace a model version: code, data, split, params, stages, runs, alias history, scored uploads."""
    from pageflip.lineage.trace import as_tree, trace_version

    facts = trace_version(_model_name(name), version, uploads=uploads)
    if as_json or output is Format.JSON:
        print(json.dumps(facts, indent=2))
    else:
        width = None if sys.stdout.isatty() else 160
        Console(width=width, highlight=False).print(as_tree(facts), soft_wrap=not sys.stdout.isatty())


@app.command()
def rollback(
    reason: Annotated[str, typer.Option(help="Why; it goes into the journal of alias moves.")],
    to: Annotated[str, typer.Option(help="A model version or alias.")] = "previous",
    name: Annotated[str | None, typer.Option(help=NAME_HELP)] = None,
) -> None:
    """Move the alias champion back to the version before; no retraining promotes the one that it leaves again."""
    from pageflip.registry.promotion import roll_back

    model = _model_name(name)
    move = roll_back(model, to=to, reason=reason)
    print(f"rolled back: the champion of {model} is version {move.after}, previous is {move.before}")


@app.command()
def doctor(
    cuda: Annotated[bool, typer.Option("--cuda", help="Only compute on a GPU; exit with 78 when that fails.")] = False,
) -> None:
    """Show releases, GPU, disk, data and services; exit with 1 when something is missing."""
    from pageflip.cli.app.doctor import examine, probe_cuda

    if cuda:
        print(f"CUDA: {probe_cuda()}")
        return
    table = Table("what", "found", "")
    marks = {True: "[green]ok[/]", False: "[red]look here[/]", None: ""}
    findings = list(examine())
    for finding in findings:
        table.add_row(finding.topic, escape(finding.value), marks[finding.ok])
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)
