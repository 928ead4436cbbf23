"""What may be wrong with a device, and what to do about it."""
