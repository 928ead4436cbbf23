"""Forecasting at the edge: each sensor predicts its own readings with what a whole city has learned."""
