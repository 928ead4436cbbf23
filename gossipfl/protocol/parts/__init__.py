"""The parts of a peer: one concern each, all of them on the one state of it. Only the peer calls them in."""
