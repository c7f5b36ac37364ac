"""Choosing the widths of a network for a latency: staircases, candidates, solvers."""
