"""Benchmarks of what a mesh learns from how many bytes, simulated and as real processes."""
