"""What all tests share."""

import os
import shutil
from pathlib import Path
from typing import runtime_checkable

import pytest
from hypothesis import HealthCheck, settings

from edgewise._core.progress import Progress

# The run-time type check can only check protocols that allow it.
runtime_checkable(Progress)

# Machines that are shared are slow at times, which says nothing about the code. In CI the same examples every time.
settings.register_profile("edgewise", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgewise")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder with trained weights and data; the test is skipped where it is absent."""
    folder = Path(os.environ.get("EDGEWISE_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "models").is_dir():
        message = f"no trained weights at {folder}; set EDGEWISE_SHARED"
        if os.environ.get("EDGEWISE_REQUIRE_SHARED") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser that looks at reports; the test is skipped where it is not installed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        message = "no chromium here; install Debian's package `chromium`"
        if os.environ.get("EDGEWISE_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return Path(found)


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of the tests' own, so that nobody's latency database is touched."""
    home = tmp_path_factory.mktemp("edgewise-home")
    os.environ["EDGEWISE_HOME"] = str(home)
    return home
