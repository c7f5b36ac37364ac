"""Input shapes as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise._core.errors import UsageError
from edgewise.models.shapes import format_input_shape, parse_input_shape


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_round_trip(sizes):
    shape = (1, *sizes)
    assert parse_input_shape(format_input_shape(shape)) == shape


def test_blanks_and_case_do_not_matter():
    assert parse_input_shape(" 1X3 x 8x8 ") == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1x3x-1x224", "dynamic sizes cannot be priced"),
        ("Nx3x224x224", "dynamic sizes cannot be priced"),
        ("1x3x?x224", "dynamic sizes cannot be priced"),
        ("dynamicx3x224x224", "dynamic sizes cannot be priced"),
        ("8x3x224x224", "--batch 8"),
        ("1x3x0x224", "every number at least 1"),
        ("1x3x2.5x224", "every number at least 1"),
        ("1x3xx224", "every number at least 1"),
        ("1x3x٣x224", "every number at least 1"),
        ("1x3x99999x99999", "at most 2\\^30 values"),
        ("1x3x9999999999x2", "every number at least 1"),
        ("224", "must be fixed numbers such as 1x3x224x224, got '224'"),
        ("", "must be fixed numbers such as 1x3x224x224, got ''"),
        ("1,3,224,224", "must be fixed numbers"),
    ],
)
def test_errors_teach(text, said):
    with pytest.raises(UsageError, match=said) as caught:
        parse_input_shape(text)
    assert str(caught.value).startswith("--input must") and "\n" not in str(caught.value)


def test_the_flag_is_named():
    with pytest.raises(UsageError, match=r"^--shape must"):
        parse_input_shape("?", flag="--shape")
