"""The version of edgewise, for every file that records what wrote it."""

VERSION = "0.1.0"
"""As in ``pyproject.toml`` and the changelog."""
