"""Chip files: what is read, and what is refused, by name."""

from importlib import resources
from pathlib import Path

import pytest

from edgewise._core.errors import SpecError, UnknownNameError
from edgewise.cost.chip import load_chip
from edgewise.cost.chip.reading import parse_chip

TEXT = (resources.files("edgewise.cost.chip") / "data" / "isaac.toml").read_text()


@pytest.mark.parametrize("name", ["isaac", "puma", "prime", "ISAAC"])
def test_every_value_has_a_source(name: str) -> None:
    chip = load_chip(name)
    assert all(len(source) > 8 for source in (*chip.sources.values(), *(part.source for part in chip.components)))


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace('name = "isaac"', 'name = "mine"').replace("value = 168", "value = 4"))
    chip = load_chip(str(path))
    assert (chip.name, chip.tiles) == ("mine", 4)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('tiles = { value = 168, source = "ISAAC, ISCA 2016: 168 tiles a chip" }\n', "", r"hierarchy\.tiles is missing"),
        ("value = 100e-9,", "value = -1e-9,", r"timing\.cycle_s.*positive.*got -1e-09"),
        ("value = 128, source", "source", r"array\.rows\.value is missing"),
        ('value = 168, source = "ISAAC, ISCA 2016: 168 tiles a chip"', "value = 168", r"hierarchy\.tiles has no source line"),
        ("power_w = 16e-3", "power_w = -16e-3", r"component\.adc\.power_w.*0 or more"),
        ("power_w = 16e-3\n", "", r"component\.adc\.power_w is missing"),
        (
            'source = "ISAAC, ISCA 2016, table 1; puma-simulator a206f75 agrees"\n\n[[component]]\nname = "array"',
            '\n[[component]]\nname = "array"',
            r"component\.sample_hold has no source line",
        ),
        ('value = "offset"', 'value = "upside"', r"array\.encoding"),
        ("[timing]", "[timing]\nspeed = 3", r"timing\.speed is not known"),
        ('name = "isaac"', 'name = "isaac', "not TOML"),
    ],
)  # fmt: skip
def test_a_broken_rule_names_the_value(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(SpecError, match=said):
        parse_chip(TEXT.replace(old, new, 1), place="mine.toml")


def test_unknown_chips_and_files() -> None:
    with pytest.raises(UnknownNameError, match="unknown chip 'isac'; did you mean isaac"):
        load_chip("isac")
    with pytest.raises(SpecError, match=r"no chip file missing\.toml"):
        load_chip("missing.toml")
