"""The daemon of one device: its home on disk, its configuration, its training process, its driver, its control API."""
