"""The documentation site: complete, without the network, and readable on a phone."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgewise
from meta.documents import REPOSITORY

OUTSIDE = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^\"\s>]*")
IMPORTED = re.compile(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)\"']*")
_CHROMIUM = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--virtual-time-budget=8000", "--enable-logging=stderr", "--dump-dom"),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages: those that `make test` has just built, or new ones."""
    if "EDGEWISE_SITE" in os.environ:
        return Path(os.environ["EDGEWISE_SITE"])
    folder = tmp_path_factory.mktemp("site")
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": "src"}
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return folder


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def seen(browser: Path, address: str, home: Path) -> str:
    """The page as the browser has it in the end; what it logged must be nothing."""
    command = [str(browser), *_CHROMIUM, f"--user-data-dir={home}", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert not re.findall(r".*CONSOLE.*", done.stderr)
    return done.stdout


def test_every_document_is_a_page(site: Path):
    documents = {path.relative_to(REPOSITORY / "docs").with_suffix(".html") for path in (REPOSITORY / "docs").rglob("*.md")}
    built = {path.relative_to(site) for path in pages(site)}
    assert documents | {Path("changelog.html"), Path("contributing.html")} <= built


def test_nothing_comes_from_the_network(site: Path):
    found = [(path.name, link) for path in pages(site) for link in OUTSIDE.findall(path.read_text())]
    found += [(path.name, link) for path in site.rglob("*.css") for link in IMPORTED.findall(path.read_text())]
    assert found == []


def test_the_finder_finds():
    assert OUTSIDE.findall('<link rel="preconnect" href="https://fonts.gstatic.com"><script src=//cdn.example/x.js>') != []
    assert OUTSIDE.findall('<a href="https://example.org">text</a>') == []


def test_every_function_and_error_is_in_the_reference(site: Path):
    functions = (site / "reference" / "index.html").read_text()
    headings = re.findall(r"<h3[^>]*>\s*(edgewise\.\w+)\s*<", functions)
    assert sorted(headings) == [f"edgewise.{name}" for name in edgewise.__all__ if name.islower() and name[0] != "_"]
    assert "TargetError" in (site / "reference" / "errors.html").read_text()


def test_no_role_of_another_markup_is_left(site: Path):
    assert [path.name for path in pages(site) if re.search(r":(func|class|meth|mod):", path.read_text())] == []


def test_links_to_sources_became_names(site: Path):
    assert [path.name for path in pages(site) if re.search(r'href="[^"]*\.(py|toml|json|h)"', path.read_text())] == []


def test_search_answers_from_the_file_system(site: Path, chromium: Path, tmp_path: Path):
    page = seen(chromium, f"{(site / 'index.html').as_uri()}?q=staircase", tmp_path)
    assert re.search(r"\d+ matching documents", page)


@pytest.mark.parametrize("name", ["index.html", "command-line.html", "reference/index.html", "how-to/fit.html"])
def test_nothing_hangs_over_the_edge_of_a_phone(site: Path, chromium: Path, tmp_path: Path, name: str):
    frame = tmp_path / "frame.html"
    script = (
        "onload = () => setTimeout(() => { const page = document.querySelector('iframe').contentDocument.documentElement;"
        "document.title = `${page.clientWidth} ${page.scrollWidth}`; }, 500)"
    )
    frame.write_text(f'<iframe src="{(site / name).as_uri()}" width="390" height="800"></iframe><script>{script}</script>')
    command = [str(chromium), *_CHROMIUM, "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'home'}", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    sizes = re.search(r"<title>(\d+) (\d+)</title>", done.stdout)
    assert sizes is not None and int(sizes.group(2)) <= int(sizes.group(1))
