"""Chips that come with the package."""

CHIPS = ("isaac", "puma", "prime")
