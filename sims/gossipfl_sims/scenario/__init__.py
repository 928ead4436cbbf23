"""Scenarios: what a user writes about a mesh and what befalls it."""
