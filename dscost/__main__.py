"""`python -m dscost`."""

from dscost.cli import main

main()
