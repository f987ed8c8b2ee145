"""Import closures of the project's modules, found in their source without importing them."""

import ast
from collections.abc import Collection
from pathlib import Path

PACKAGES = ("pageflip", "tasks")
SOURCE = Path(__file__).parents[2]  # the folder that holds them


def import_closure(file: str, source: Path = SOURCE, *, exempt: Collection[str] = ()) -> set[str]:
    """Return a file and all project files that it imports, directly or indirectly.

    Args:
        file: path relative to `source`, with forward slashes.
        source: folder that holds PACKAGES.
        exempt: files that are left out, and whose imports are not followed.

    Raises:
        ValueError: a file imports relatively.
    """
    closure: set[str] = set()
    pending = [file]
    while pending:
        current = pending.pop()
        if current not in closure and current not in exempt:
            closure.add(current)
            pending += find_imports(current, source)
    return closure


def find_imports(file: str, source: Path = SOURCE) -> set[str]:
    """Return the project files that a file imports, those in functions included, but not those for type checking only.

    The `__init__.py` files of packages are left out: they hold docstrings, and settings of MLflow.

    Raises:
        ValueError: it imports relatively.
    """
    tree = ast.parse((source / file).read_text(encoding="utf-8"))
    type_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for child in node.body
        for inner in ast.walk(child)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in type_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{file} imports relatively; write the absolute import")
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {path for name in names if (path := _module_file(name, source))}


def _module_file(module: str, source: Path) -> str | None:
    path = Path(*module.split(".")).with_suffix(".py")
    return path.as_posix() if path.parts[0] in PACKAGES and (source / path).is_file() else None
