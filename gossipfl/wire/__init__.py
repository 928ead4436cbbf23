"""The wire: messages, and the frames that carry them."""
