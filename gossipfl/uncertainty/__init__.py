"""How far off predictions may be: conformal prediction, which holds for any model and any distribution."""
