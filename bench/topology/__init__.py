"""Benchmarks of graphs, and of what a topology does to agreement and to learning."""
