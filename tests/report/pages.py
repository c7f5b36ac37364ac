"""What holds for every page: tags that close, identifiers that are distinct, nothing fetched."""

import re
from html.parser import HTMLParser

_VOID = {"meta", "link", "br", "input", "wbr", "img", "hr"}
HOSTILE = "<script>alert('x')</script>\"><img src=http://evil.example/x onerror=alert(1)>"


class Checker(HTMLParser):
    """Follows the tags: every one that opens must close, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts = 0
        self.identifiers: list[str] = []
        self.references: list[str] = []
        self.handlers: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._note(tag, attrs)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self._note(tag, attrs)

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            raise AssertionError(f"</{tag}> closes what is not open: {self.open[-3:]}")

    def _note(self, tag, attrs):
        self.scripts += tag == "script"
        self.identifiers += [value for name, value in attrs if name == "id"]
        self.references += [value for name, value in attrs if name in ("src", "href", "action", "xlink:href")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def checked(page):
    """The page's tags, after checks that hold for every page."""
    found = Checker(page)
    assert found.open == []
    assert found.scripts == 1
    assert found.handlers == []
    assert len(found.identifiers) == len(set(found.identifiers))
    assert all(reference.startswith(("#", "data:")) for reference in found.references)
    assert not re.search(r"url\(|@import|https?://", page.replace("http://evil.example", ""))
    return found
