"""Image files decoded to bytes of one size, with limits on what a file may ask for."""

import io
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from edgewise._core.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MAX_PIXELS = 64 * 2**20
"""Pixels above which an image is refused before it is decoded: 8192 x 8192."""
EVALUATION_ZOOM = 256 / 224
"""Large images are scaled so far beyond the cut that is evaluated; torchvision's reference evaluation does the same."""
_SCALE = (0.08, 1.0)
_RATIO = (3 / 4, 4 / 3)


def open_image(content: bytes, *, name: str) -> Image.Image:
    """An image whose header was read and found acceptable; its pixels are decoded later.

    Raises:
        DataError: Not an image of a known format, or too many pixels.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{name} has more than {MAX_PIXELS} pixels; scale it down") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DataError(f"{name} is not an image ({error}); known formats: {', '.join(FORMATS)}") from error
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"{name} has {image.width} x {image.height} pixels, more than {MAX_PIXELS}; scale it down")
    return image


def decode_plain(content: bytes, size: tuple[int, int], *, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """The middle of an image as bytes: its shorter side scaled to the cut or, above 64 pixels, a little beyond.

    An image that has the size already is not scaled.

    Args:
        content: The file's content.
        size: Height and width in pixels of the result.
        name: Name of the file, for errors.

    Raises:
        DataError: Damaged, not an image, or too large.
    """
    height, width = size
    image = open_image(content, name=name)
    if (image.height, image.width) != size:
        zoom = EVALUATION_ZOOM if max(size) > 64 else 1.0
        scale = max(height * zoom / image.height, width * zoom / image.width)
        scaled = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
        left, top = (scaled[0] - width) / 2, (scaled[1] - height) / 2
        box = (left * image.width / scaled[0], top * image.height / scaled[1])
        far = ((left + width) * image.width / scaled[0], (top + height) * image.height / scaled[1])
        return _pixels(image, size, box=(*box, *far), name=name)
    return _pixels(image, size, box=None, name=name)


def decode_varied(content: bytes, size: tuple[int, int], *, rng: np.random.Generator, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """A random cut of 8 to 100 % of the image's area and 3:4 to 4:3 in shape, scaled to ``size``: Inception's training cut.

    Raises:
        DataError: Damaged, not an image, or too large.
    """
    image = open_image(content, name=name)
    for _ in range(10):
        area = image.width * image.height * rng.uniform(*_SCALE)
        ratio = np.exp(rng.uniform(np.log(_RATIO[0]), np.log(_RATIO[1])))
        width, height = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < width <= image.width and 0 < height <= image.height:
            left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
            return _pixels(image, size, box=(left, top, left + width, top + height), name=name)
    return decode_plain(content, size, name=name)


def _pixels(image: Image.Image, size: tuple[int, int], *, box: Any, name: str) -> UInt8[np.ndarray, "h w 3"]:  # noqa: ANN401 - four numbers or none
    try:
        colours = image.convert("RGB")
        if box is not None:
            colours = colours.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=box)
        return np.asarray(colours).copy()
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is damaged ({error}); replace or remove it") from error
