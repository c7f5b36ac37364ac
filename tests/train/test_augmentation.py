"""Random cuts and mirror images against a loop over single pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgewise.train.data.augmentation import Shifts, draw_shifts, shift_and_mirror


def _slowly(images: Tensor, shifts: Shifts, pad: int) -> Tensor:
    n, height, width, _ = images.shape
    result = torch.zeros_like(images)
    for i in range(n):
        for row in range(height):
            for column in range(width):
                source_row = row + int(shifts.top[i]) - pad
                source_column = (width - 1 - column if shifts.mirrored[i] else column) + int(shifts.left[i]) - pad
                if 0 <= source_row < height and 0 <= source_column < width:
                    result[i, row, column] = images[i, source_row, source_column]
    return result


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7), st.sampled_from([1, 3]), st.integers(0, 4), st.booleans())
def test_it_agrees_with_a_slow_loop(n: int, height: int, width: int, channels: int, pad: int, flip: bool) -> None:
    generator = torch.Generator().manual_seed(n + 10 * height)
    images = torch.randint(0, 256, (n, height, width, channels), dtype=torch.uint8, generator=generator)
    shifts = draw_shifts(n, pad, flip=flip, generator=generator)
    assert torch.equal(shift_and_mirror(images, shifts, pad=pad), _slowly(images, shifts, pad))


def test_draws_cover_all_shifts_and_half_are_mirrored() -> None:
    shifts = draw_shifts(4000, 4, flip=True, generator=torch.Generator().manual_seed(0))
    assert sorted(shifts.top.unique().tolist()) == sorted(shifts.left.unique().tolist()) == list(range(9))
    assert 0.46 < shifts.mirrored.float().mean() < 0.54


def test_without_flip_nothing_is_mirrored() -> None:
    assert not draw_shifts(100, 1, flip=False, generator=torch.Generator().manual_seed(0)).mirrored.any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_no_shift_is_the_identity(dtype: torch.dtype) -> None:
    images = torch.arange(24).reshape(1, 4, 6, 1).to(dtype)
    shifts = Shifts(top=torch.tensor([2]), left=torch.tensor([2]), mirrored=torch.tensor([False]))
    assert torch.equal(shift_and_mirror(images, shifts, pad=2), images)
