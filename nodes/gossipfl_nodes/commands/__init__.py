"""The commands of a device, found by the front door through the entry points in pyproject.toml."""
