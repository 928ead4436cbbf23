"""Benchmarks of the daemon: start, transport, strangers, large models."""
