"""The model: its layout, its bases, and the replica that a node keeps of it."""
