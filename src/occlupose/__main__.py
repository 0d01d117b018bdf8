"""`python -m occlupose`: the command line."""

from occlupose.cli import main

main()
