"""The protocol: the peer as a sans-IO state machine, and what it is made of."""
