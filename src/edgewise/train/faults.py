"""What goes wrong in training itself, as against in its data or its files."""

from edgewise._core.errors import EdgewiseError


class DivergedError(EdgewiseError, ArithmeticError):
    """A loss or an output is no longer a finite number."""
