"""`python -m pageflip`."""

from pageflip.cli import main

main()
