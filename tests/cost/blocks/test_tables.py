"""Tables of blocks: the Pixel 1 table's golden sums, and what is wrong with others."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgewise._core.errors import SpecError, UnknownLayerError, UsageError
from edgewise.cli import main
from edgewise.cost.blocks import LutDevice, find_blocks, open_lut, parse_table
from edgewise.cost.protocol import Device
from edgewise.ir import ArchPlan, BlockChoice
from edgewise.models.mobile import MobileNet
from edgewise.models.sources import build, parse_source
from edgewise.space import SPACES, Space, Stage, block_counts
from edgewise.space.catalog import PUBLISHED
from edgewise.trace import trace

HEADER = "block,kernel,expansion,latency_ms,in_channels,out_channels,stride,in_height_px,skip_allowed\n"
SPACE = SPACES["digits"]


def _rows(*, skip: bool = True, constant: str = "constant,,,2.5,,,,,\n") -> str:
    lines = []
    for block in SPACE.blocks:
        for number, choice in enumerate(one for one in block.choices if not one.skip):
            skippable = int(skip and block.skippable)
            shape = f"{block.in_channels},{block.out_channels},{block.stride},{block.in_hw[0]},{skippable}"
            lines.append(f"{block.position},{choice.kernel},{choice.expansion},{1 + block.position + number / 10},{shape}\n")
    return HEADER + "".join(lines) + constant


def _net(plan: ArchPlan):
    return trace(MobileNet(SPACE, plan).eval(), (torch.zeros(1, 1, 8, 8),), verify=False).net


def _latency_ms(device: LutDevice, plan: ArchPlan) -> float:
    net = _net(plan)
    pieces = device.pieces(net)
    return device.total(pieces, device.estimate(pieces)).latency_s * 1e3


@pytest.fixture(scope="module")
def pixel1(shared_folder: Path) -> LutDevice:
    return open_lut(f"lut:{shared_folder / 'data' / 'pixel1-lut.csv'}")


class TestPixel1:
    @pytest.mark.parametrize(
        ("plan", "ms"),
        [
            (SPACES["imagenet"].largest, 131.4578),
            (SPACES["imagenet"].homogeneous(3, 6), 110.6524),
            (SPACES["imagenet"].homogeneous(5, 3), 76.3622),
            (SPACES["imagenet"].homogeneous(3, 3), 65.6914),
            (SPACES["imagenet"].smallest, 30.6319),
            (PUBLISHED["single-path-nas"], 80.4411),
            (PUBLISHED["mnasnet-b1"], 75.8806),
        ],
    )
    def test_golden_sums(self, pixel1: LutDevice, plan: ArchPlan, ms: float) -> None:
        total_s = pixel1.table.constant_s + sum(pixel1.choice_s(choice) for choice in plan.blocks)
        assert total_s * 1e3 == pytest.approx(ms, abs=5e-5)

    def test_the_rows_agree_with_the_space(self, pixel1: LutDevice, shared_folder: Path) -> None:
        import csv

        with (shared_folder / "data" / "pixel1-lut.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["block"] != "constant"]
        assert len(rows) == 88
        for row in rows:
            block = SPACES["imagenet"].blocks[int(row["block"])]
            counts = block_counts(block, BlockChoice(block=block.position, kernel=int(row["kernel"]), expansion=int(row["expansion"])))
            assert (counts.params, counts.macs) == (int(row["params"]), int(row["macs"]))
            assert (block.in_hw[0], block.out_hw[0], block.stride) == (
                int(row["in_height_px"]),
                int(row["out_height_px"]),
                int(row["stride"]),
            )
            assert (block.skippable, block.residual) == (row["skip_allowed"] == "1", row["residual"] == "1")

    def test_the_command_line_prints_the_exact_sum(self, shared_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path, table = tmp_path / "s.json", f"LUT:{shared_folder / 'data' / 'pixel1-lut.csv'}"
        assert main(["simulate", "single-path-nas", "--device", table, "--json", str(path)]) == 0
        value = json.loads(path.read_text())
        assert value["latency_s"] * 1e3 == pytest.approx(80.4411, abs=5e-5) and value["kind"] == "predicted"
        assert (value["params"], value["macs"], len(value["blocks"])) == (4_421_616, 333_467_072, 22)
        assert "80.4411 ms predicted" in capsys.readouterr().out

    def test_networks_it_does_not_cover_are_refused_by_name(self, shared_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        table = f"lut:{shared_folder / 'data' / 'pixel1-lut.csv'}"
        assert main(["simulate", "mobilenet-v2", "--device", table]) == 2
        said = capsys.readouterr().err.strip()
        assert "has no entry for the block 3x3-6 at features.4.conv.1.0 (24 to 32 channels, stride 2, 56x56 px)" in said.splitlines()[-1]


class TestOwnTables:
    def test_a_table_is_a_device_and_sums_its_rows(self) -> None:
        device = LutDevice(table=parse_table(_rows(), name="mine"))
        assert isinstance(device, Device)
        # 2.5 and the last operation of each position: 1.3 + 2.3 + 3.3 + 4.3.
        assert _latency_ms(device, SPACE.largest) == pytest.approx(2.5 + 11.2)
        assert _latency_ms(device, SPACE.smallest) == pytest.approx(2.5 + 1.0 + 3.0)

    @pytest.mark.parametrize("skipped", [1, 2])
    def test_positions_follow_the_names_where_shapes_repeat(self, skipped: int) -> None:
        space = Space(name="s", input_shape=(1, 1, 8, 8), stem=8, stem_stride=1, stages=(Stage(width=8, depth=3),), head=0, n_classes=2)
        rows = "".join(f"{place},5,6,{place + 1},8,8,1,8,{int(place > 0)}\n" for place in range(3))
        device = LutDevice(table=parse_table(HEADER + rows + "constant,,,0,,,,,\n", name="mine"))
        plan = ArchPlan(blocks=tuple(replace(one, skip=one.block == skipped) for one in space.largest.blocks))
        net = trace(MobileNet(space, plan).eval(), (torch.zeros(1, 1, 8, 8),), verify=False).net
        pieces = device.pieces(net)
        assert device.total(pieces, device.estimate(pieces)).latency_s * 1e3 == pytest.approx(6 - (skipped + 1))

    def test_what_is_left_out_stands_behind_where_names_say_nothing(self) -> None:
        device = LutDevice(table=parse_table(_rows(), name="mine"))
        renamed = torch.nn.Sequential(*(part for part in _flat(MobileNet(SPACE, SPACE.smallest))))
        net = trace(renamed.eval(), (torch.zeros(1, 1, 8, 8),), verify=False).net
        assert [piece.position for piece in device.pieces(net)] == ["rest", "0", "2"]

    def test_without_a_constant_every_row_counts_and_the_rest_is_said_to_be_missing(self) -> None:
        device = LutDevice(table=parse_table(_rows(constant=""), name="mine"))
        net = _net(SPACE.smallest)
        estimates = device.estimate(device.pieces(net))
        assert estimates[0].detail == (("rest", "not in the table, left out"),)
        assert sum(one.latency_s for one in estimates) * 1e3 == pytest.approx(4.0)

    def test_a_block_that_may_not_be_lacking(self) -> None:
        device = LutDevice(table=parse_table(_rows(skip=False), name="mine"))
        with pytest.raises(UnknownLayerError, match=r"mine has no entry for the block 3x3-3 at blocks\.2\.depthwise"):
            device.pieces(_net(SPACE.smallest))
        with pytest.raises(UnknownLayerError, match="does not let block 1 be skipped"):
            device.choice_s(BlockChoice(block=1, kernel=3, expansion=3, skip=True))

    def test_an_entry_that_is_lacking_is_named(self) -> None:
        device = LutDevice(table=parse_table(_rows(), name="mine"))
        with pytest.raises(UnknownLayerError, match="mine has no entry for block 1 as 7x7-6; it has 3x3-3, 3x3-6, 5x5-3, 5x5-6"):
            device.choice_s(BlockChoice(block=1, kernel=7, expansion=6))
        with pytest.raises(UnknownLayerError, match="no entry for block 9; it has blocks 0 to 3"):
            device.choice_s(BlockChoice(block=9, kernel=3, expansion=6))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("block,kernel\n0,3\n", "lacks the columns expansion, latency_ms"),
            (HEADER, "must hold at least one block"),
            (HEADER + "0,3,6,fast,8,8,1,8,0\n", r"line 2: latency_ms must be a number of 0 or more, got 'fast'"),
            (HEADER + "0,3,6,-1,8,8,1,8,0\n", "latency_ms must be a number of 0 or more"),
            (HEADER + "0,3.5,6,1,8,8,1,8,0\n", "kernel must be a whole number"),
            (HEADER + "0,3,6,1,8,8,1,8,yes\n", "skip_allowed must be 0 or 1"),
            (HEADER + "0,3,6,1,8,8,1,8,0\n0,5,6,1,8,9,1,8,0\n", "must give block 0 one shape"),
            (HEADER + "0,3,6,1,8,8,1,8,0\nconstant,,,1,,,,,\nconstant,,,1,,,,,\n", "line 4: there must be one row block=constant"),
        ],
    )
    def test_faults_are_named(self, text: str, said: str) -> None:
        with pytest.raises(SpecError, match=said):
            parse_table(text, name="mine")

    def test_two_entries_for_one_operation_are_refused_when_asked_for(self) -> None:
        table = parse_table(HEADER + "0,3,6,1,8,8,1,8,0\n0,3,6,2,8,8,1,8,0\n", name="mine")
        with pytest.raises(UnknownLayerError, match="has 2 entries, one is needed"):
            table.latency_s(BlockChoice(block=0, kernel=3, expansion=6))

    def test_names(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(UsageError, match="named by lut:FILE"):
            open_lut("lut:")
        with pytest.raises(SpecError, match="no table"):
            open_lut(f"lut:{tmp_path / 'none.csv'}")
        path = tmp_path / "mine.csv"
        path.write_text(_rows())
        assert main(["simulate", "resnet20", "--device", f"lut:{path}", "--batch", "4"]) == 2
        assert "--batch means nothing to a table of blocks" in capsys.readouterr().err
        assert main(["profile", "resnet20", "--device", f"lut:{path}"]) == 2
        assert "use `edgewise simulate` or `edgewise search`" in capsys.readouterr().err


def test_blocks_are_found_in_networks_of_others() -> None:
    net = trace(build(parse_source("mobilenet-v2")), (torch.zeros(1, 3, 224, 224),), verify=False).net
    blocks = find_blocks(net)
    assert [(block.expansion, block.out_channels, block.stride) for block in blocks[:4]] == [(1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2)]
    assert [block.residual for block in blocks[:4]] == [False, False, True, False] and all(block.kernel == 3 for block in blocks)


def test_squeeze_and_excitation_is_part_of_its_block() -> None:
    net = trace(build(parse_source("mnasnet-a1")), (torch.zeros(1, 3, 224, 224),), verify=False).net
    assert [block.se for block in find_blocks(net)[:5]] == [0, 0, 0, 0.25, 0.25]


def test_a_network_without_depthwise_convolutions_has_no_blocks() -> None:
    net = trace(build(parse_source("resnet20")), (torch.zeros(1, 3, 32, 32),), verify=False).net
    assert find_blocks(net) == ()


def _flat(model: MobileNet) -> list[torch.nn.Module]:
    return [model.stem, *model.blocks.values(), model.head, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), model.classifier]
