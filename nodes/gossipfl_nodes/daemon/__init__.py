"""The daemon of one device: its configuration, its training process, its driver, its control API."""
