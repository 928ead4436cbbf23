"""A city's fleet in the simulator, before it is deployed."""
