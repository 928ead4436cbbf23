"""Sweeps: a scenario over a grid of settings and many seeds, on all cores, so that a difference can be told from luck.

Start with `sweep.sweep`; `grid` has what to run, `rows` keeps what came of it, `summary` and `drawing` show it.
"""
