"""Predictions from the served model, in a process of their own."""
