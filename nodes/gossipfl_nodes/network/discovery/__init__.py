"""How devices find each other, and where they can be reached."""
