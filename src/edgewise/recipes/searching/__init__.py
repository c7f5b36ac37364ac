"""``edgewise search``: from a space to a trained network at a latency."""
