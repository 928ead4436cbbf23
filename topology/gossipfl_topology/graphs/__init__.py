"""Graphs that stay as they are: each builder gives a `Graph` over the nodes 0 … n−1."""
