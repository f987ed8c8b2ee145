"""Find page flips in phone videos of books, and keep the model that finds them alive in production."""


def __getattr__(name: str) -> str:
    """Look up `__version__` on demand: importing importlib.metadata takes a sixth of `pageflip --help`."""
    from importlib.metadata import PackageNotFoundError, version

    if name != "__version__":
        raise AttributeError(f"module 'pageflip' has no attribute {name!r}")
    try:
        return version("pageflip")
    except PackageNotFoundError:  # a stage's workspace holds the code without an installation
        return "0+source"
