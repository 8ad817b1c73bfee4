import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.errors import InputError, UnknownNameError
from dscost.notation.quantities import parse_seconds
from dscost.notation.units import (
    DTYPE_BYTES,
    dtype_bytes,
    format_bytes,
    format_count,
    format_factor,
    format_seconds,
    format_seconds_with_interval,
    format_shape,
    parse_ints,
)

DECIMAL = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Z": 1e21}
BINARY = {
    " B": 1,
    " KiB": 2**10,
    " MiB": 2**20,
    " GiB": 2**30,
    " TiB": 2**40,
    " PiB": 2**50,
    " EiB": 2**60,
}
TIMES = {" ns": 1e-9, " µs": 1e-6, " ms": 1e-3, " s": 1.0}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "–"),
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (1_000, "1,000"),
        (9_999, "9,999"),
        (10_125, "10.12k"),  # ties go to the even digit
        (10_375, "10.38k"),
        (99_994, "99.99k"),
        (99_996, "100.0k"),
        (999_949, "999.9k"),
        (999_951, "1.000M"),
        (999_999, "1.000M"),
        (115_605_504, "115.6M"),
        (999_999_999, "1.000G"),
        (4_867_293_184, "4.867G"),
        (10**24, "1.000Y"),
        (10**27, "1000Y"),
        (-1_500, "-1,500"),
        (-10_500, "-10.50k"),
        (-999, "-999"),
    ],
)
def test_a_count_is_exact_below_ten_thousand_and_has_four_digits_and_a_prefix_above(
    count: int | None, text: str
) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1.000 KiB"),
        (1_536, "1.500 KiB"),
        (10_368, "10.12 KiB"),  # 10.125: ties go to the even digit
        (1_000 * 1_024, "1000 KiB"),
        (1_023 * 1_024, "1023 KiB"),
        (1_024 * 1_024 - 1, "1.000 MiB"),
        (1_024 * 1_024, "1.000 MiB"),
        (2_359_296, "2.250 MiB"),
        (5 * 2**30, "5.000 GiB"),
        (2**80, "1024 ZiB"),
    ],
)
def test_a_size_has_four_digits_and_a_binary_prefix(size: int | None, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0, "0 ns"),
        (1e-9, "1.00 ns"),
        (999e-9, "999 ns"),
        (999.6e-9, "1.00 µs"),
        (9.996e-6, "10.0 µs"),
        (0.000_812, "812 µs"),
        (0.044_9, "44.9 ms"),
        (0.999_4, "999 ms"),
        (0.999_6, "1.00 s"),
        (2.5, "2.50 s"),
        (3_600.0, "3600 s"),
    ],
)
def test_a_time_has_three_digits(seconds: float | None, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "interval", "text"),
    [
        pytest.param(
            0.000_996,
            (0.000_991, 0.001_002),
            "996 µs [991, 1002]",
            id="the interval keeps the unit",
        ),
        pytest.param(0.001_002, (0.000_991, 0.001_010), "1.00 ms [0.991, 1.01]", id="below one"),
        pytest.param(2.0, (1.5, 2.25), "2.00 s [1.50, 2.25]", id="seconds"),
    ],
)
def test_an_interval_is_in_the_unit_of_its_time(
    seconds: float, interval: tuple[float, float], text: str
) -> None:
    assert format_seconds_with_interval(seconds, interval) == text


@pytest.mark.parametrize(
    ("factor", "text"),
    [(None, "–"), (1.0, "1.00×"), (8.6943, "8.69×"), (0.7981, "0.798×"), (9.996, "10.0×"), (131.04, "131×"),
     (12_345.6, "12346×"), (0.0, "0×")],
)  # fmt: skip
def test_a_factor_has_three_digits(factor: float | None, text: str) -> None:
    assert format_factor(factor) == text


@law
@given(st.integers(10_000, 10**21))
def test_a_printed_count_is_within_half_a_step_of_its_fourth_digit(count: int) -> None:
    assert_close(format_count(count), count, DECIMAL, digits=4)


@law
@given(st.integers(1_024, 2**69))
def test_a_printed_size_is_within_half_a_step_of_its_fourth_digit(size: int) -> None:
    assert_close(format_bytes(size), size, BINARY, digits=4)


@law
@given(st.floats(1e-9, 900))
def test_a_printed_time_is_within_half_a_step_of_its_third_digit(seconds: float) -> None:
    assert_close(format_seconds(seconds), seconds, TIMES, digits=3)


def assert_close(text: str, value: float, units: dict[str, Any], digits: int) -> None:
    number, unit = re.fullmatch(r"([\d.]+)(.*)", text).groups()  # type: ignore[union-attr]
    assert len(number.replace(".", "").lstrip("0")) == digits
    step = 10.0 ** -len(number.partition(".")[2])
    assert abs(float(number) - value / units[unit]) <= 0.5001 * step


def test_a_shape_is_joined_with_times_signs() -> None:
    assert (format_shape((3, 224, 224)), format_shape((7,)), format_shape(())) == (
        "3×224×224",
        "7",
        "",
    )


@pytest.mark.parametrize("dtype", DTYPE_BYTES)
def test_a_dtype_is_as_large_as_in_torch(dtype: str) -> None:
    import torch

    assert dtype_bytes(dtype) == getattr(torch, dtype).itemsize


def test_an_unknown_dtype_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(
        UnknownNameError, match=r"^unknown dtype 'flaot32' \(did you mean 'float32'\?\)$"
    ):
        dtype_bytes("flaot32")


@pytest.mark.parametrize(
    ("text", "separator", "lengths", "numbers"),
    [
        ("3", "x", (1, 2), (3,)),
        ("5x3", "x", (1, 2), (5, 3)),
        ("5X3", "x", (1, 2), (5, 3)),
        ("5×3", "x", (1, 2), (5, 3)),
        ("1,3,224,224", ",", (3, 4), (1, 3, 224, 224)),
        ("1, 3, 224", ",", (3, 4), (1, 3, 224)),
        ("-1", "x", (1,), (-1,)),
        ("5, 3", "x", (1, 2), (5, 3)),
        (" 5 x 3 ", "x", (1, 2), (5, 3)),
        ("5 × 3*7", "x", (3,), (5, 3, 7)),
        ("5 3", "x", (1, 2), (5, 3)),
    ],
)
def test_whole_numbers_are_parsed(
    text: str, separator: str, lengths: tuple[int, ...], numbers: tuple[int, ...]
) -> None:
    assert parse_ints(text, "--x", separator, lengths, example="3") == numbers


@pytest.mark.parametrize(
    "text", ["", "x", "3x", "3x3x3", "1.5", "1e3", "three", "3,,3", "3+3", "3x3x", "9" * 5_000]
)
def test_other_texts_are_not_whole_numbers(text: str) -> None:
    message = f"--kernel: expected something like 3 or 5x3, found '{text}'"
    with pytest.raises(InputError) as caught:
        parse_ints(text, "--kernel", "x", (1, 2), example="3 or 5x3")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10),
        ("2.5s", 2.5),
        ("500ms", 0.5),
        (" 500 MS ", 0.5),
        ("1e-3", 0.001),
        ("5min", 300),
        ("2h", 7200),
        ("250 µs", 250e-6),
        ("86399", 86_399),
    ],
)
def test_a_duration_is_parsed(text: str, seconds: float) -> None:
    assert parse_seconds(text, what="--time-budget") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "s", "0", "0ms", "-1s", "nan", "inf", "ten", "1d", "24h", "86400", "1440min", "1 2"],
)
def test_other_texts_are_not_durations(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_seconds(text, what="--time-budget")
    assert (
        str(caught.value)
        == f"--time-budget: expected a duration under a day, like 10s or 500ms, found '{text}'"
    )


def test_what_is_too_large_for_a_float_is_still_shown() -> None:
    inf = float("inf")
    assert (format_seconds(inf), format_factor(inf)) == ("inf s", "inf×")
