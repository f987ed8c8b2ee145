"""The program `pageflip`.

Commands import what they need when they run, so that `--help` is instant and the base install suffices for `predict`.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pageflip.base.console import run_main
from pageflip.cli import data, doctor, evaluate, models, predict
from pageflip.cli.extras import EXTRA_OF, missing_extra


class CommandGroup(TyperGroup):
    """Commands that name the extra they need when a package of it is missing."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            ConfigError: the command needs an extra that is not installed.
        """
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            command = ctx.invoked_subcommand or ""
            raise missing_extra(f"`pageflip {command}`", EXTRA_OF.get(command), error) from error


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find page flips in phone videos of books, and keep the model that finds them alive in production.",
)


def main() -> None:
    """Run the program; errors of the user end with a message instead of a traceback."""
    run_main(app)


def _print_version(requested: bool) -> None:
    if requested:
        from pageflip import __version__

        print(f"pageflip {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("predict")(predict.predict_command)
app.add_typer(data.synthesize, name="synthesize")
app.command("import")(data.import_command)
app.command("publish-data")(data.publish_data_command)
app.command("evaluate")(evaluate.evaluate_command)
app.command("evaluate-videos")(evaluate.evaluate_videos_command)
app.command("benchmark-protocols")(evaluate.benchmark_protocols_command)
app.command("lineage")(models.lineage_command)
app.command("rollback")(models.rollback_command)
app.command("doctor")(doctor.doctor_command)
