"""A city's fleet: from a list of its sensors to the homes of their devices, all of one mesh."""
