"""Docstrings as pages show them: roles of Sphinx become links where there is a page, and every example is highlighted."""

import re

from griffe import Extension, Object

_ROLE = re.compile(r":(?:func|class|meth|mod|data|attr|exc):`~?(?:[^`<]*<)?([^`>]+)>?`")
_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


class Docstrings(Extension):
    """Rewrites docstrings before they are parsed."""

    def on_object(self, *, obj: Object, **_: object) -> None:
        """Changes the text of one docstring."""
        if obj.docstring is not None:
            text = _ROLE.sub(_link, obj.docstring.value)
            obj.docstring.value = _EXAMPLE.sub("Examples:", text)


def _link(found: re.Match[str]) -> str:
    name = found.group(1)
    return f'<autoref identifier="{name}" optional><code>{name.removeprefix("edgewise.")}</code></autoref>'
