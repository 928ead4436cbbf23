"""What stands on the disk of one device: its home, its saved state, recordings of what it did."""
