"""Tasks: what a node learns; the interface, the built-in ones, and the PyTorch adapter."""
