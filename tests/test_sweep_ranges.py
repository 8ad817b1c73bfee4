"""Ranges are read in one way, wherever they are said."""

import pytest

from dscost.errors import InputError
from dscost.sweeping.axes import parse_axis
from dscost.sweeping.model_axes import Sides, input_values, setting_values
from dscost.sweeping.ranges import range_of


def test_axes_settings_and_inputs_take_the_same_ranges() -> None:
    assert range_of("8 : 24 : 8") == range(8, 25, 8)
    assert parse_axis("in_channels", "8:24:8") == setting_values("8:24:8") == (8, 16, 24)
    assert input_values("8:24:8") == (Sides((8,)), Sides((16,)), Sides((24,)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("8:4", "8:4 is empty: a range rises, as in 4:8"),
        ("4:8:-2", "4:8:-2 is empty: a range rises, as in 4:8:2"),
        ("4:8:0", "4:8:0 never gets on: its step is 0"),
    ],
)
def test_what_is_wrong_with_a_range_is_told_in_the_same_words(text: str, told: str) -> None:
    for read in (lambda said: parse_axis("in_channels", said), setting_values, input_values):
        with pytest.raises(InputError) as error:
            read(text)
        assert str(error.value) == told


@pytest.mark.parametrize("text", ["1:10002", "1:1000000000"])
def test_settings_and_inputs_take_no_more_values_than_can_be_counted(text: str) -> None:
    for read in (setting_values, input_values):
        with pytest.raises(InputError, match=r" has [0-9,]+ values: at most 10,000$"):
            read(text)


def test_decimals_are_of_settings_alone() -> None:
    assert setting_values("0.5:1:0.25") == (0.5, 0.75, 1.0)
    for read in (lambda said: parse_axis("in_channels", said), input_values):
        with pytest.raises(InputError, match=r"^expected something like"):
            read("0.5:1:0.25")
