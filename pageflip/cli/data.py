"""Frames on the command line: drawing, importing and publishing them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pageflip.base.errors import ConfigError

if TYPE_CHECKING:
    from pageflip.synthetic.ranges import Synthesize

RAW, PARAMS = Path("data/raw"), Path("params.yaml")
FORMER_FLAGS = {
    "--uploads": "pageflip synthesize uploads",
    "--sheet": "pageflip synthesize sheet IMAGE",
    "--video": "pageflip synthesize video FILE.mp4",
}
TrackOption = Annotated[bool, typer.Option(help="Track data/raw with DVC and push it to the remote.")]
SeedOption = Annotated[int | None, typer.Option(help="The same seed gives the same bytes.")]
WidthOption = Annotated[int | None, typer.Option(help="Width in pixels.")]
HeightOption = Annotated[int | None, typer.Option(help="Height in pixels.")]
BooksOption = Annotated[int | None, typer.Option(help="Number of books.")]
ParamsOption = Annotated[Path, typer.Option(help="Params file whose section `synthesize` gives the defaults.")]


class SynthesizeGroup(TyperGroup):
    """Commands that draw; `frames` when none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `frames` in front of bare options.

        Raises:
            ConfigError: a flag of the former single command is used.
        """
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            for flag, command in FORMER_FLAGS.items():
                if any(argument.partition("=")[0] == flag for argument in args):
                    raise ConfigError(f"`pageflip synthesize {flag}` is now a command of its own", f"use `{command}`.")
            args = ["frames", *args]
        return super().parse_args(ctx, args)


synthesize = typer.Typer(
    cls=SynthesizeGroup,
    no_args_is_help=False,
    help="Draw page-flip footage with its labels: frames (the default), a video, a contact sheet or sample uploads.",
)


@synthesize.command("frames")
def synthesize_frames(
    out: Annotated[Path, typer.Option(help="Folder of raw frames; must be empty or missing.")] = RAW,
    seed: SeedOption = None,
    books: BooksOption = None,
    clips_per_book: Annotated[int | None, typer.Option(help="Clips of each book, half of them flips.")] = None,
    frames_per_clip: Annotated[int | None, typer.Option(help="Frames of each clip.")] = None,
    width: WidthOption = None,
    height: HeightOption = None,
    params: ParamsOption = PARAMS,
    track: TrackOption = True,
) -> None:
    """Draw labelled clips to train and test with."""
    from pageflip.synthetic import samples

    sizes = {"books": books, "clips_per_book": clips_per_book, "frames_per_clip": frames_per_clip}
    frames = samples.make_frames(out, _load_plan(params, seed=seed, width=width, height=height, **sizes))
    print(f"drew {frames} frames into {out}")
    _track(out, track)


@synthesize.command("video")
def synthesize_video(
    path: Annotated[Path, typer.Argument(help="The MP4; NAME.events.json and NAME.scene.json are written beside it.")],
    flips: Annotated[int, typer.Option(help="Number of page flips.")] = 5,
    book: Annotated[int, typer.Option(help="Number of the book.")] = 0,
    seed: SeedOption = None,
    width: WidthOption = None,
    height: HeightOption = None,
    params: ParamsOption = PARAMS,
) -> None:
    """Draw a video of a book being leafed through, with its true flips."""
    from pageflip.synthetic import samples

    truth = samples.make_video(path, _load_plan(params, seed=seed, width=width, height=height), book=book, flips=flips)
    print(f"drew {len(truth['events'])} flips in {truth['frames']} frames into {path}")


@synthesize.command("sheet")
def synthesize_sheet(
    path: Annotated[Path, typer.Argument(help="The image to write.")],
    beside: Annotated[Path | None, typer.Option(help="Folder of real frames to show below.")] = None,
    seed: SeedOption = None,
    books: BooksOption = None,
    width: WidthOption = None,
    height: HeightOption = None,
    params: ParamsOption = PARAMS,
) -> None:
    """Draw a contact sheet."""
    from pageflip.synthetic import samples

    samples.make_sheet(path, _load_plan(params, seed=seed, books=books, width=width, height=height), beside)
    print(f"drew a contact sheet into {path}")


@synthesize.command("uploads")
def synthesize_uploads(seed: SeedOption = None, params: ParamsOption = PARAMS) -> None:
    """Draw sample uploads into the upload folder; those that are there stay."""
    from pageflip.synthetic import samples

    for name in samples.make_uploads(seed=_load_plan(params, seed=seed).seed):
        print(f"sample upload {name}")


def _load_plan(params: Path, **options: Any) -> "Synthesize":
    """Return the section `synthesize`, or the defaults outside a project, with the options that were given."""
    from pageflip.synthetic.ranges import Synthesize, load_synthesize

    plan = load_synthesize(params) if params.exists() or params != PARAMS else Synthesize()
    return plan.model_copy(update={name: value for name, value in options.items() if value is not None})


def import_command(
    source: Annotated[Path, typer.Argument(help="A zip or a folder in the archive's layout.")],
    out: Annotated[Path, typer.Option(help="Folder of raw frames.")] = RAW,
    monreader: Annotated[bool, typer.Option("--monreader", help="Check the SHA-256 of the MonReader archive.")] = False,
    merge: Annotated[bool, typer.Option("--merge", help="Add to the frames that are there.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the frames that are there.")] = False,
    track: TrackOption = True,
) -> None:
    """Import labelled frames, all of them or none."""
    from pageflip.frames.importing import import_frames

    result = import_frames(source, out, monreader=monreader, merge=merge, replace=replace)
    print(f"imported {result.frames} frames of {result.clips} clips ({result.bytes / 1e6:.0f} MB) into {out}")
    _track(out, track)


def publish_data_command() -> None:
    """Track data/raw as a new version, push it, and notify Airflow, which then runs `retrain`."""
    from pageflip.base import settings
    from pageflip.runs.data_versions import publish

    result = publish(settings.project_root())
    print(f"published data version {result.version} (data/raw.dvc), pushed to the DVC remote")
    print(result.announcement)


def _track(out: Path, enabled: bool) -> None:
    """Track the raw folder if it is the project's own."""
    from pageflip.base import settings

    if not enabled:
        return
    try:
        project = settings.project_root()
    except ConfigError:
        return
    if out.absolute() == (project / RAW).absolute():
        from pageflip.runs.data_versions import track_raw

        print(f"tracked as data version {track_raw(project)} (data/raw.dvc), pushed to the DVC remote")
