from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.errors import InputError
from dscost.notation.marked_yaml import parse_scalar
from dscost.notation.quantities import QUANTITIES, parse_quantity

COUNT, BYTES = "600M, 1.5G or 4_231_976", "17 MiB or 17 MB"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("600M", "count", 600 * 10**6),
        ("1.5G", "count", 15 * 10**8),
        ("1.1G", "count", 11 * 10**8),
        ("4_231_976", "count", 4231976),
        ("4231976", "count", 4231976),
        ("100k", "count", 10**5),
        ("100K", "count", 10**5),
        ("2T", "count", 2 * 10**12),
        (".5 k", "count", 500),
        ("1_000.25k", "count", 1000250),
        ("1e6", "count", 10**6),
        ("1e6 k", "count", 10**9),
        ("2.5e-1M", "count", 250000),
        ("0", "count", 0),
        ("17 MiB", "bytes", 17 * 1024**2),
        ("17MB", "bytes", 17 * 1000**2),
        ("1 kB", "bytes", 1000),
        ("1 KB", "bytes", 1000),
        ("1 KiB", "bytes", 1024),
        ("1.5 GiB", "bytes", 3 * 2**29),
        ("1 TB", "bytes", 10**12),
        ("1 TiB", "bytes", 2**40),
        ("512 B", "bytes", 512),
        ("12 ms", "seconds", Fraction(12, 1000)),
        ("0.1ms", "seconds", Fraction(1, 10000)),
        ("250 ns", "seconds", Fraction(250, 10**9)),
        ("3 us", "seconds", Fraction(3, 10**6)),
        ("3 \N{MICRO SIGN}s", "seconds", Fraction(3, 10**6)),
        ("3 \N{GREEK SMALL LETTER MU}s", "seconds", Fraction(3, 10**6)),
        ("1.5 s", "seconds", Fraction(3, 2)),
        ("2 min", "seconds", 120),
        ("5%", "share", Fraction(1, 20)),
        ("0%", "share", 0),
        ("0.1 %", "share", Fraction(1, 1000)),
        ("150%", "share", Fraction(3, 2)),
        ("2.5", "factor", Fraction(5, 2)),
        ("2.5x", "factor", Fraction(5, 2)),
        ("2.5 ×", "factor", Fraction(5, 2)),
    ],
)
def test_a_quantity_is_exactly_what_is_written(text: str, kind: str, value: Fraction | int) -> None:
    assert parse_quantity(text, kind) == value
    assert parse_quantity(f"  {text}\t", kind) == value


@pytest.mark.parametrize(
    ("written", "kind", "value"),
    [
        ("1.1", "factor", Fraction(11, 10)),
        ("0.1", "factor", Fraction(1, 10)),
        ("4.35", "factor", Fraction(435, 100)),
        ("1e6", "count", 10**6),
        ("1E6", "count", 10**6),
        ("1e22", "count", 10**22),
        ("1.5e-7", "factor", Fraction(15, 10**8)),
        ("600", "count", 600),
        ("010", "count", 10),
        ("0x10", "count", 16),
    ],
)
def test_a_number_of_yaml_is_as_exact_as_its_decimal_digits(
    written: str, kind: str, value: Fraction | int
) -> None:
    assert not isinstance(parse_scalar(written), str)
    assert parse_quantity(parse_scalar(written), kind) == value


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("17", "bytes", f"expected a quantity such as {BYTES}, found '17': it lacks a unit"),
        (17, "bytes", f"expected a quantity such as {BYTES}, found '17': it lacks a unit"),
        ("12", "seconds", "expected a quantity such as 12 ms, found '12': it lacks a unit"),
        (0.012, "seconds", "expected a quantity such as 12 ms, found '0.012': it lacks a unit"),
        ("5", "share", "expected a quantity such as 5%, found '5': it lacks a unit"),
        (0.05, "share", "expected a quantity such as 5%, found '0.05': it lacks a unit"),
        ("600m", "count", f"expected a quantity such as {COUNT}, found '600m': unknown unit 'm' (did you mean 'M'?)"),
        ("6MB", "count", f"expected a quantity such as {COUNT}, found '6MB': unknown unit 'MB' (did you mean 'M'?)"),
        ("17 mib", "bytes",
         f"expected a quantity such as {BYTES}, found '17 mib': unknown unit 'mib' (did you mean 'MiB'?)"),
        ("17M", "bytes", f"expected a quantity such as {BYTES}, found '17M': unknown unit 'M' (did you mean 'MB'?)"),
        ("12 mss", "seconds", "expected a quantity such as 12 ms, found '12 mss': unknown unit 'mss' "
         "(did you mean 'ms'?)"),
        ("5%", "count", f"expected a quantity such as {COUNT}, found '5%': unknown unit '%'"),
        ("-5%", "share", "expected a quantity such as 5%, found '-5%'"),
        (-1, "count", f"expected a quantity such as {COUNT}, found '-1'"),
        (-0.0, "factor", "expected a quantity such as 2.5, found '-0.0'"),
        ("", "count", f"expected a quantity such as {COUNT}, found ''"),
        ("M", "count", f"expected a quantity such as {COUNT}, found 'M'"),
        ("1,000", "count", f"expected a quantity such as {COUNT}, found '1,000'"),
        ("1_", "count", f"expected a quantity such as {COUNT}, found '1_'"),
        ("1__0", "count", f"expected a quantity such as {COUNT}, found '1__0'"),
        ("1 000", "count", f"expected a quantity such as {COUNT}, found '1 000'"),
        ("5.", "count", f"expected a quantity such as {COUNT}, found '5.'"),
        ("1/2", "count", f"expected a quantity such as {COUNT}, found '1/2'"),
        ("٣M", "count", f"expected a quantity such as {COUNT}, found '٣M'"),
        (float("nan"), "count", f"expected a quantity such as {COUNT}, found 'nan'"),
        (float("inf"), "count", f"expected a quantity such as {COUNT}, found 'inf'"),
        (True, "count", f"expected a quantity such as {COUNT}, found True"),
        (None, "share", "expected a quantity such as 5%, found nothing"),
        ([1], "count", f"expected a quantity such as {COUNT}, found [1]"),
    ],
)  # fmt: skip
def test_what_is_none_is_refused_with_an_example(value: object, kind: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_quantity(value, kind)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    ["1e100", "1e999999999", "1e-999999999", "9" * 100_000, "1" + "_1" * 100_000, "1e999M" * 99],
)
def test_a_monstrous_number_is_refused_before_it_is_computed_and_in_short(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_quantity(text, "count")
    assert len(str(caught.value)) < 200


def test_the_largest_exponent_is_still_exact() -> None:
    assert parse_quantity("1e99T", "count") == 10 ** (99 + 12)


@law
@given(
    st.integers(0, 10**30),
    st.sampled_from(["", "k", "M", "G", "T"]),
    st.sampled_from(["", " ", "  "]),
)
def test_whole_counts_survive_with_and_without_underscores(
    number: int, unit: str, space: str
) -> None:
    factor = 1000 ** ["", "k", "M", "G", "T"].index(unit)
    assert parse_quantity(f"{number}{space}{unit}", "count") == number * factor
    assert parse_quantity(f"{number:_}{space}{unit}", "count") == number * factor


@law
@given(st.integers(0, 10**12), st.integers(0, 12), st.sampled_from(sorted(QUANTITIES)), st.data())
def test_decimals_are_fractions_of_ten(
    digits: int, places: int, kind: str, data: st.DataObject
) -> None:
    units, _ = QUANTITIES[kind]
    unit = data.draw(st.sampled_from(sorted(units)))
    text = f"{digits:0{places + 1}d}"
    text = f"{text[:-places]}.{text[-places:]}" if places else text
    assert parse_quantity(f"{text}{unit}", kind) == Fraction(digits, 10**places) * units[unit]


@law
@given(st.text(max_size=80) | st.floats() | st.integers(-(10**50), 10**50) | st.none() | st.booleans(),
       st.sampled_from(sorted(QUANTITIES)))  # fmt: skip
def test_anything_else_is_an_input_error_and_nothing_is_negative(value: object, kind: str) -> None:
    with suppress(InputError):
        assert parse_quantity(value, kind) >= 0
