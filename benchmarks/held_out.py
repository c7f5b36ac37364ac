"""Makes an image folder whose validation part was seen by no given network.

The given CIFAR-10 networks were trained on all training images, so that a validation part drawn from these favours the
given network over everything that is trained again. This takes every second test image of each class (or every Nth,
with ``--every N``) as ``val/`` and leaves the others as ``test/``; files are copied as they are.

    python benchmarks/held_out.py ../shared/data/cifar10-jpeg.zip cifar10-held-out.zip
"""

import argparse
import zipfile
from pathlib import Path, PurePosixPath


def moved(name: str, places: dict[str, int], *, every: int) -> str:
    """The name of an image in the new archive; every so manieth test image of a class goes to ``val/``."""
    parts = list(PurePosixPath(name).parts)
    part = next((place for place, text in enumerate(parts) if text == "test"), None)
    if part is None:
        return name
    kind = parts[part + 1]
    places[kind] = places.get(kind, 0) + 1
    if places[kind] % every == 1:
        parts[part] = "val"
    return str(PurePosixPath(*parts))


def main() -> None:
    """Copies the archive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--every", type=int, default=2, help="at least 2")
    arguments = parser.parse_args()
    if arguments.every < 2:
        parser.error(f"--every must be at least 2, so that test images are left, got {arguments.every}")
    places: dict[str, int] = {}
    with zipfile.ZipFile(arguments.source) as source, zipfile.ZipFile(arguments.target, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(name for name in source.namelist() if not name.endswith("/")):
            target.writestr(moved(name, places, every=arguments.every), source.read(name))


if __name__ == "__main__":
    main()
