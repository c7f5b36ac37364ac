"""The ``edgewise`` command. Thin: it reads arguments, calls one recipe, prints what came back.

Nothing heavy is imported until a command runs, so that ``edgewise --help`` answers at once.
"""

from edgewise.cli.entry import main

__all__ = ["main"]
