"""Image folders and archives: what is read, from where, and what is refused."""

import io
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgewise._core.errors import DataError
from edgewise.train.data import Dataset, DataSpec, decoding, open_data
from edgewise.train.data.decoding import decode_plain, decode_varied

_KINDS = {"train": 5, "test": 3}


def _png(value: int, size: tuple[int, int] = (6, 4)) -> bytes:
    """A PNG of height and width ``size`` in one colour."""
    output = io.BytesIO()
    Image.new("RGB", (size[1], size[0]), (value, value, 255 - value)).save(output, "PNG")
    return output.getvalue()


def _members(size: tuple[int, int] = (6, 4), parts: Iterable[str] = ("train", "test")) -> dict[str, bytes]:
    return {
        f"{part}/{name}/{index}.png": _png(40 * number + index, size)
        for part in parts
        for number, name in enumerate(("ant", "bee"))
        for index in range(_KINDS.get(part, 2))
    }


def _zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, content in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def _open(path: Path, tmp_path: Path, **changes: int) -> Dataset:
    return open_data(DataSpec(text=f"imagefolder:{path}", mean=(0.0,), std=(1.0,), cache=tmp_path / "cache", **changes))


def _first_pixels(data: Dataset) -> list[int]:
    return [round(float(image[0, 0, 0]) * 255) for images, _ in data.test for image in images]


def test_folder_and_archive_give_the_same(tmp_path: Path) -> None:
    from_folder = _open(_folder(tmp_path / "f", _members()), tmp_path)
    from_zip = _open(_zip(tmp_path / "f.zip", _members()), tmp_path)
    for data in (from_folder, from_zip):
        assert data.class_names == ("ant", "bee")
        assert data.input_shape == (1, 3, 6, 4)
        assert (data.train.n_images, data.validation.n_images, data.test.n_images) == (8, 2, 6)
        assert _first_pixels(data) == [0, 1, 2, 40, 41, 42]
        assert data.test.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_validation_part_of_its_own_is_used(tmp_path: Path) -> None:
    data = _open(_zip(tmp_path / "f.zip", _members(parts=("train", "test", "val"))), tmp_path)
    assert (data.train.n_images, data.validation.n_images, data.test.n_images) == (10, 4, 6)


def test_a_folder_around_all_and_other_files_do_not_matter(tmp_path: Path) -> None:
    members = {f"birds/{name}": content for name, content in _members().items()}
    noise = {"birds/README.md": b"hello", "__MACOSX/birds/train/ant/0.png": b"junk", "birds/train/ant/.hidden.png": b"junk"}
    assert _open(_zip(tmp_path / "f.zip", members | noise), tmp_path).train.n_images == 8


def test_the_second_opening_reads_the_cache_and_a_changed_archive_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _zip(tmp_path / "f.zip", _members())
    before = _first_pixels(_open(path, tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("edgewise.train.data.imagefolder.decode_plain", lambda *_, **__: pytest.fail("decoded again"))
        assert _first_pixels(_open(path, tmp_path)) == before
    changed = _members()
    changed["test/ant/0.png"] = _png(200)
    assert _first_pixels(_open(_zip(path, changed), tmp_path)) == [200, *before[1:]]


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    path = _zip(tmp_path / "f.zip", _members())
    before = _first_pixels(_open(path, tmp_path))
    (kept,) = (tmp_path / "cache" / "images").iterdir()
    for content in (b"", kept.read_bytes()[:300], b"x" * 1000):
        kept.write_bytes(content)
        assert _first_pixels(_open(path, tmp_path)) == before


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert _open(_zip(tmp_path / "f.zip", _members()), tmp_path).train.n_images == 8


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("../train/ant/9.png", "named outside"),
        ("train/../../ant/9.png", "named outside"),
        ("/train/ant/9.png", "named outside"),
        ("C:/train/ant/9.png", "named outside"),
        ("train\\..\\ant\\9.png", "named outside"),
    ],
)
def test_names_that_leave_the_archive_are_refused(tmp_path: Path, name: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        _open(_zip(tmp_path / "f.zip", _members() | {name: _png(1)}), tmp_path)


def test_links_are_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "f.zip", _members())
    link = zipfile.ZipInfo("train/ant/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="a link or a device"):
        _open(path, tmp_path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    members = _members() | {"train/ant/bomb.png": b"\0" * (8 << 20)}
    with pytest.raises(DataError, match="a zip bomb"):
        _open(_zip(tmp_path / "f.zip", members, zipfile.ZIP_DEFLATED), tmp_path)


def test_entries_given_twice_are_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "f.zip", _members())
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("train/ant/0.png", _png(9))
    with pytest.raises(DataError, match="given twice"):
        _open(path, tmp_path)


def test_overlapping_entries_are_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "f.zip", _members() | {"train/ant/big.png": b"\0" * 20_000})
    content = path.read_bytes()
    archive = zipfile.ZipFile(path)
    big = archive.getinfo("train/ant/big.png").header_offset
    copies = b""
    for record in content[archive.start_dir :].split(b"PK\x01\x02")[1:]:
        if b"big.png" in record:  # ten more entries whose data is that of big.png
            plain = record.split(b"PK\x05\x06")[0]
            assert struct.unpack("<I", plain[38:42])[0] == big
            copies = b"".join(b"PK\x01\x02" + plain.replace(b"big.png", f"bi{n}.png".encode()) for n in range(10))
    end = content.index(b"PK\x05\x06")
    fields = list(struct.unpack("<4s4H2LH", content[end : end + 22]))
    fields[3], fields[4], fields[5] = fields[3] + 10, fields[4] + 10, fields[5] + len(copies)
    path.write_bytes(content[:end] + copies + struct.pack("<4s4H2LH", *fields))
    with pytest.raises(DataError, match="its entries overlap, as in a zip bomb"):
        _open(path, tmp_path)


def test_an_image_that_declares_too_many_pixels_is_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for side in (9_000, 12_000, 60_000):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        huge = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
        with pytest.raises(DataError, match=r"train/ant/3.png has .* pixels"):
            _open(_zip(tmp_path / "f.zip", _members() | {"train/ant/3.png": huge}), tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image", _png(3)[:40], _png(3)[:-30]])
def test_damaged_images_are_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"train/bee/2.png is (not an image|damaged)"):
        _open(_zip(tmp_path / "f.zip", _members() | {"train/bee/2.png": content}), tmp_path)


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "f.zip", _members())
    whole = path.read_bytes()
    for content in (b"", b"junk", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"cannot be read as a .zip archive"):
            _open(path, tmp_path)
    place = whole.index(_png(0)) + 30
    path.write_bytes(whole[:place] + b"####" + whole[place + 4 :])
    with pytest.raises(DataError, match="damaged"):
        _open(path, tmp_path)


@pytest.mark.parametrize(
    ("drop", "message"),
    [("train/", "no images at train/CLASS"), ("test/", "no images at test/CLASS"), ("train/bee", "classes without training images: bee")],
)
def test_missing_parts_are_named(tmp_path: Path, drop: str, message: str) -> None:
    members = {name: content for name, content in _members().items() if not name.startswith(drop)}
    with pytest.raises(DataError, match=message):
        _open(_zip(tmp_path / "f.zip", members), tmp_path)


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        _open(tmp_path / "nowhere", tmp_path)


def test_large_images_are_read_lazily_and_cut_at_random_for_training(tmp_path: Path) -> None:
    data = _open(_folder(tmp_path / "f", _members(size=(80, 100))), tmp_path, image_size=72, batch_size=3)
    assert data.input_shape == (1, 3, 72, 72)
    assert not (tmp_path / "cache").exists()
    assert [images.shape for images, _ in data.test] == [(3, 3, 72, 72)] * 2
    once, again, later = (list(data.train.epoch(epoch)) for epoch in (0, 0, 1))
    assert all(torch.equal(one, two) for (one, _), (two, _) in zip(once, again, strict=True))
    assert not torch.equal(once[0][0], later[0][0])
    assert torch.equal(next(data.train.epoch(1, start=1))[0], later[1][0])


def test_plain_decoding_takes_the_middle() -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 200
    output = io.BytesIO()
    Image.fromarray(pixels).save(output, "PNG")
    assert (decode_plain(output.getvalue(), (10, 10), name="x") == 200).all()
    assert np.array_equal(decode_plain(output.getvalue(), (10, 30), name="x"), pixels)


def test_random_cuts_have_the_size_asked_for() -> None:
    rng = np.random.default_rng(0)
    cuts = [decode_varied(_png(7, size), (16, 24), rng=rng, name="x") for size in ((50, 40), (300, 3), (1, 1))]
    assert [cut.shape for cut in cuts] == [(16, 24, 3)] * 3


def test_the_limit_on_pixels_holds_for_the_library_too() -> None:
    assert (Image.MAX_IMAGE_PIXELS or 0) >= decoding.MAX_PIXELS
