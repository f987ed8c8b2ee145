"""Find page flips in phone videos of books, and keep the model that finds them alive in production."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("pageflip")
except PackageNotFoundError:  # a stage's workspace holds the code without an installation
    __version__ = "0+source"
