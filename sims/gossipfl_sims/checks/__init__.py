"""Checks: what must hold whatever goes wrong, and what must come true once nothing does."""
