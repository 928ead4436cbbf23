"""Benchmarks of the simulator, and of how true it is."""
