"""Benchmarks: the figures that the README and the docs claim, measured in one run and side by side."""
