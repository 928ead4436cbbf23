"""The control API of a daemon: what it shows, and what it can be told to do, over HTTP."""
