"""The nemesis: what goes wrong, when, and for whom."""
