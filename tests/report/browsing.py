"""Chromium without a window, as tests drive it."""

import base64
import hashlib
import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--virtual-time-budget=2000", "--enable-logging=stderr"),
)
DARK = "--blink-settings=preferredColorScheme=0"


def browse(browser: str, page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """One visit with a profile of its own; what the page logged is on standard error."""
    home = page.parent / f"browser-{len(list(page.parent.iterdir()))}"
    command = [browser, *_FLAGS, f"--user-data-dir={home}", *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert not re.search(r"CONSOLE.*", done.stderr), re.findall(r".*CONSOLE.*", done.stderr)
    return done


def measured(browser: str, page: Path, frames: list[tuple[str, int]]) -> list[tuple[int, int]]:
    """Width of each frame, and by how much its content is wider.

    Frames, since no window of chromium is as narrow as a phone.
    """
    copies = "".join(_frame(text, width, index) for index, (text, width) in enumerate(frames))
    page.write_text(f"<!DOCTYPE html><title>t</title>{copies}", encoding="utf-8")
    document = browse(browser, page, "--dump-dom").stdout
    found = {int(index): (int(width), int(over)) for index, width, over in re.findall(r'data-seen="(\d+) (\d+) (-?\d+)"', document)}
    return [found[index] for index in range(len(frames))]


def _frame(text: str, width: int, index: int) -> str:
    """A copy of the page that tells its frame how wide it is; the page's own policy would not let the probe run, so the copy has none."""
    probe = (
        "<script>const seen = document.documentElement; "
        f"frameElement.dataset.seen = `{index} ${{innerWidth}} ${{seen.scrollWidth - seen.clientWidth}}`;</script></body>"
    )
    copy = text.replace('http-equiv="Content-Security-Policy"', "data-policy").replace("</body>", probe)
    return f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{html.escape(copy)}"></iframe>'


def exercised(browser: str, page: Path, script: str, *flags: str) -> dict[str, Any]:
    """What a script finds that works a page by its own events, under the page's own policy.

    Args:
        browser: Chromium.
        page: The page; it stays as it is.
        script: Statements that leave what they find in ``seen``.
        *flags: For chromium.

    Returns:
        The values of ``seen``.
    """
    probe = f"(function () {{ const seen = {{}};\n{script}\ndocument.documentElement.dataset.seen = JSON.stringify(seen); }})();"
    digest = base64.b64encode(hashlib.sha256(probe.encode()).digest()).decode()
    text = page.read_text(encoding="utf-8").replace("script-src '", f"script-src 'sha256-{digest}' '", 1)
    head, tail = text.rsplit("</body>", 1)
    copy = page.with_name(f"probed-{page.name}")
    copy.write_text(f"{head}<script>{probe}</script></body>{tail}", encoding="utf-8")
    document = browse(browser, copy, "--dump-dom", *flags).stdout
    found = re.search(r'data-seen="([^"]*)"', document)
    assert found is not None, "the script did not come to its end"
    result: dict[str, Any] = json.loads(html.unescape(found.group(1)))
    return result
