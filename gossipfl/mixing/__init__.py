"""Mixing: with what coefficients models are put together, one rule per file."""
