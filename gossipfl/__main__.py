"""`python -m gossipfl`: the same as `gossipfl`."""

from gossipfl.cli import main

main()
