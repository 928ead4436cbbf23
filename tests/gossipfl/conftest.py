"""Hypothesis draws the same examples in every run, and no example is late: the machine may be slow and shared."""

from hypothesis import settings

settings.register_profile("gossipfl", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("gossipfl")
