"""Reference networks, where models come from, and weights that are safe to load."""
