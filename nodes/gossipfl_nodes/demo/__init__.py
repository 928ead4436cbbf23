"""The demo: a whole mesh of real daemons on this machine, watched, killed, compared and drawn."""
