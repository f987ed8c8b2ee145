"""`python -m pageflip`."""

from pageflip.cli.app import main

main()
