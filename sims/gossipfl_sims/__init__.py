"""The simulator: the daemon's own peers in virtual time."""
