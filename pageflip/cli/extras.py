"""The extras of the package, and the commands that need them.

The base install predicts; everything else comes with an extra. docs/reference/command-line.md shows this table.
"""

import re
from collections.abc import Iterator

from pageflip.base.errors import ConfigError

REGISTRY, TRAIN = "registry", "train"
EXTRA_OF = {
    "predict": None,  # registered models need REGISTRY: see pageflip.cli.models.load_model
    "doctor": None,
    "synthesize": TRAIN,
    "import": TRAIN,
    "publish-data": TRAIN,
    "evaluate": TRAIN,
    "evaluate-videos": TRAIN,
    "benchmark-protocols": TRAIN,
    "lineage": REGISTRY,
    "rollback": REGISTRY,
}
REQUIREMENT = re.compile(r"""(?P<name>[\w.-]+)[^;]*;.*\bextra == ['"](?P<extra>[\w-]+)['"]""")


def missing_extra(what: str, extra: str | None, error: ModuleNotFoundError) -> Exception:
    """Return a ConfigError that names the `pip install` of an extra, or `error` if no extra is missing.

    Args:
        what: command or option, for the message.
        extra: the extra that it needs.
        error: raised by an import.
    """
    module = (error.name or "").partition(".")[0]
    if extra is None or module in ("", "pageflip"):
        return error
    return ConfigError(
        f"{what} needs the extra `{extra}`: pip install 'pageflip[{extra}]'", f"that installs {module} and more."
    )


def examine_extras() -> Iterator[tuple[str, list[str]]]:
    """Yield each extra with the names of its packages that are not installed."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        about = metadata("pageflip")
    except PackageNotFoundError:  # a source tree without an installation
        return
    needed: dict[str, list[str]] = {extra: [] for extra in about.get_all("Provides-Extra") or []}
    for line in about.get_all("Requires-Dist") or []:
        requirement = REQUIREMENT.match(line)
        if requirement:
            needed[requirement["extra"]].append(requirement["name"])
    for extra, names in needed.items():
        yield extra, [name for name in names if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
