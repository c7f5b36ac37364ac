"""Pages from files beside this folder, and links that lead out of it: the same documents serve a code browser and the site."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).resolve().parents[2]
_ROOT_PAGES = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?!https?:|#)[^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that stand in the root of the repository."""
    for source, page in _ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(_ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links to files that are no pages into the files' names, and links to the root's pages into theirs."""
    folder = posixpath.dirname(page.file.src_uri)

    def replaced(found: re.Match[str]) -> str:
        words, target, anchor = found.group(1), found.group(2), found.group(3) or ""
        path = posixpath.normpath(posixpath.join("docs" if page.file.src_uri not in _ROOT_PAGES.values() else "", folder, target))
        if path in _ROOT_PAGES:
            return f"[{words}]({posixpath.relpath(_ROOT_PAGES[path], folder or '.')}{anchor})"
        if path.startswith("docs/") and files.get_file_from_path(path.removeprefix("docs/")) is not None:
            return f"[{words}]({posixpath.relpath(path.removeprefix('docs/'), folder or '.')}{anchor})"
        if (_ROOT / path).exists():
            name = words.strip("`")
            return f"`{path}`" if name.endswith(Path(path).name) or "/" in name or "." in name else f"{words} (`{path}`)"
        return found.group(0)

    return _LINK.sub(replaced, markdown)
