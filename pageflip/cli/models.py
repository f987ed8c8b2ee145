"""Models on the command line: which one predicts, where a version comes from, and the way back to an earlier one."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pageflip.base.errors import ConfigError
from pageflip.cli.extras import REGISTRY, missing_extra
from pageflip.cli.output import Format, TreeFormatOption, make_console, print_json

if TYPE_CHECKING:
    from pageflip.inference.predictor import Predictor

CHAMPION = "champion"
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="`champion` (day-zero as long as there is none), `day-zero`, a version or an alias, each with `@int8` for "
        "its int8 file; or the path of an .onnx file.",
        show_default=CHAMPION,
    ),
]
NameOption = Annotated[
    str | None, typer.Option(help="Name of the registered model.", show_default="register.model_name of params.yaml")
]


def load_model(model: str | None, name: str | None) -> "Predictor":
    """Load the model that a user named.

    Without MLflow (the extra `registry`) day-zero stands in for the champion, with a message on standard error, unless
    the user named the champion.

    Raises:
        ConfigError: there is no such model, or it needs the extra `registry`.
        DataError: the file has been changed.
        UnavailableError: MLflow did not answer.
    """
    from pageflip.inference.cards import PRETRAINED
    from pageflip.inference.day_zero import load_day_zero
    from pageflip.inference.local_models import load_local_model

    registered = find_model_name(name)
    predictor = load_local_model(model or CHAMPION, registered, PRETRAINED)
    if predictor is not None:
        return predictor
    try:
        from pageflip.registry.loading import load_predictor
    except ModuleNotFoundError as error:
        explained = missing_extra(f"--model {model}", REGISTRY, error)
        if model is not None or explained is error:
            raise explained from error
        predictor = load_day_zero(PRETRAINED, name=registered)
        print(
            f"there is no champion without the extra `{REGISTRY}`: {predictor.version} stands in "
            f"(pip install 'pageflip[{REGISTRY}]' loads registered models)",
            file=sys.stderr,
        )
        return predictor
    return load_predictor(model or CHAMPION, registered)


def find_model_name(name: str | None) -> str:
    """Return the name of the registered model: `name`, or register.model_name of the project, or `pageflip`."""
    from pageflip.base import settings
    from pageflip.params.load import load_section
    from pageflip.params.register import Register

    if name:
        return name
    try:
        return load_section(settings.project_root() / "params.yaml", "register", Register).model_name
    except ConfigError:
        return "pageflip"  # outside a project


def lineage_command(
    version: Annotated[str, typer.Argument(help="A model version, or an alias such as champion.")],
    name: NameOption = None,
    output: TreeFormatOption = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    uploads: Annotated[int, typer.Option(min=0, help="How many scored uploads to list.")] = 5,
) -> None:
    """Trace a model version: code, data, split, params, stages, runs, alias history, scored uploads."""
    from pageflip.lineage.print import as_tree
    from pageflip.lineage.trace import trace_version

    facts = trace_version(find_model_name(name), version, uploads=uploads)
    if as_json or output is Format.JSON:
        print_json(facts)
    else:
        make_console(highlight=False).print(as_tree(facts), soft_wrap=not sys.stdout.isatty())


def rollback_command(
    reason: Annotated[str, typer.Option(help="Why; recorded in the journal of alias moves.")],
    to: Annotated[str, typer.Option(help="A model version or alias.")] = "previous",
    name: NameOption = None,
) -> None:
    """Move the alias champion back to an earlier version; retraining does not promote the one it leaves again."""
    from pageflip.registry.promotion import roll_back

    model = find_model_name(name)
    move = roll_back(model, to=to, reason=reason)
    print(f"rolled back: the champion of {model} is version {move.after}, previous is {move.before}")
