"""Docstrings as pages show them: roles of Sphinx become code, and every example is highlighted."""

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:func|class|meth|mod|data|attr|exc):`~?(?:[^`<]*<)?([^`>]+)>?`")
_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


class Docstrings(Extension):
    """Rewrites docstrings before they are parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Changes the text of one docstring."""
        if obj.docstring is not None:
            text = _ROLE.sub(lambda found: f"``{found.group(1)}``", obj.docstring.value)
            obj.docstring.value = _EXAMPLE.sub("Examples:", text)
