"""Limits that are raised in the text of a budget, all else of which stays as it is."""

from fractions import Fraction
from pathlib import Path

import program
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

import dscost
from dscost.errors import DscostError
from dscost.notation.quantities import QUANTITIES, parse_quantity, rewritten_quantity

RESNET18_PARAMS = 11_689_512
CONV1_MACS = 112 * 112 * 64 * 3 * 7 * 7
"""Of the stem of ResNet-18, which has its only large kernel."""


@pytest.mark.parametrize(
    ("written", "value", "kind", "is_up", "anew"),
    [
        ("3.85M", 4_279_752, "count", True, "4.28M"),
        ("760M", 785_320_960, "count", True, "786M"),
        ("9M", 11_689_512, "count", True, "11.7M"),  # three digits at least
        ("1.5G", 1_814_073_344, "count", True, "1.82G"),
        ("1.500G", 1_814_073_344, "count", True, "1.815G"),  # as many as before
        ("0.5 G", 785_320_960, "count", True, "0.786 G"),
        ("4M", 4_100_000, "count", True, "4.1M"),
        ("999k", 1_234_567, "count", True, "1235k"),
        ("3850000", 4_279_752, "count", True, "4279752"),
        ("3_850_000", 4_279_752, "count", True, "4_279_752"),
        ("1e6", 1_814_073_344, "count", True, "1815e6"),
        ("0", 118_013_952, "count", True, "118013952"),
        ("0x10", 17, "count", True, "17"),
        ("2.5 MiB", 2_764_800, "bytes", True, "2.64 MiB"),
        ("700 B", 701, "bytes", True, "701 B"),
        ("3M", 2_999_999, "count", False, "2.99M"),
        ("40", Fraction(79, 2), "factor", False, "39.5"),
    ],
)
def test_a_quantity_that_is_written_anew_keeps_its_notation(
    written: str, value: int | Fraction, kind: str, is_up: bool, anew: str
) -> None:
    assert rewritten_quantity(written, Fraction(value), kind, is_up=is_up) == anew
    passes = parse_quantity(anew, kind)
    assert passes >= value if is_up else passes <= value


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DSCOST_CONFIG", raising=False)
    return tmp_path


def raised(text: str, *accept: str) -> str:
    """Return a budget whose limits have been raised for some models, once it is within."""
    path = Path("dscost.yaml")
    path.write_bytes(text.encode())
    kept = dscost.update_baseline(path, accept=accept, raise_limits=True)
    assert dscost.check(path).exit_code == 0
    assert (kept.budget, kept.exit_code, kept.update.unused) == (path, 0, ())
    return path.read_bytes().decode()


LAYOUT = (
    "# what they may cost: été\r\n"
    "version:   1\r\n"
    "models:\r\n"
    "  - {target: resnet18, limits: {'params': '9M',   macs: {max: 1.5G , message: \"4.5\" }}} # 9M\r\n"
    "\r\n"
    "  - target: resnet34 # stays\r\n"
    "    limits: {params: 22M}   \r\n"
)


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "with a mark of byte order"])
def test_all_but_the_figures_of_broken_limits_stays_byte_for_byte(folder: Path, mark: str) -> None:
    expected = LAYOUT.replace("'9M',", "'11.7M',").replace("1.5G ", "1.82G ")
    assert raised(mark + LAYOUT, "resnet18") == mark + expected


def test_only_limits_of_what_is_accepted_are_raised(folder: Path) -> None:
    path = Path("dscost.yaml")
    text = (
        "version: 1\nmodels:\n"
        "  - {target: resnet18, limits: {params: 9M, macs: 1G}}\n"
        "  - {target: resnet34, limits: {params: 9M}}\n"
    )
    path.write_text(text)
    kept = dscost.update_baseline(path, accept=["resnet18/params"], raise_limits=True)
    assert path.read_text() == text.replace("9M", "11.7M", 1)
    (one,) = kept.raised
    assert (one.line, one.metric, one.before, one.after) == (3, "params", "9M", "11.7M")
    assert (one.entries, one.shared_by) == (("resnet18",), ())


def test_a_least_is_lowered_and_a_rule_on_layers_raised(folder: Path) -> None:
    large = '"type:Conv2d[groups=1,kernel>3]"'
    text = (
        "version: 1\nmodels:\n  - target: resnet18\n    limits: {params: {min: 12M}}\n"
        f"    layers:\n      - match: {large}\n        total: {{macs: 0}} # not on this chip\n"
        "      - {match: 'layer*.conv*', each: {macs: 100M}}\n"
    )
    most = 56 * 56 * 64 * 64 * 9  # of each 3×3 layer of ResNet-18 that does not halve the image
    assert raised(text, "resnet18") == (
        text.replace("12M", "11.6M")
        .replace("macs: 0", f"macs: {CONV1_MACS}")
        .replace("100M", f"{-(-most // 10**6)}M")
    )


SHARED = """\
version: 1
defaults:
  limits: {params: 9M}
models:
  - target: resnet18
  - target: resnet34
    limits: {params: 22M}
  - target: mobilenet_v2
  - {target: mobilenet_v1, matrix: {width: [0.5, 1.0]}}
"""


def test_a_limit_that_others_share_is_raised_for_all_and_that_is_said(folder: Path) -> None:
    Path("dscost.yaml").write_text(SHARED)
    ran = program.run("baseline", "update", "--accept", "resnet18", "--raise-limits")
    assert ran.returncode == 0
    assert ran.stderr.splitlines() == [
        "wrote dscost.yaml: 1 limit",
        "  line 3: params of resnet18: 9M → 11.7M; "
        "it holds for mobilenet_v2, mobilenet_v1[width=0.5], mobilenet_v1[width=1.0] too",
    ]
    assert Path("dscost.yaml").read_text() == SHARED.replace("9M", "11.7M")


def test_of_models_that_share_a_limit_the_largest_decides(folder: Path) -> None:
    aliased = (
        "version: 1\nmodels:\n"
        "  - {target: resnet18, limits: {params: &most 9M}}\n"
        "  - {target: resnet34, limits: {params: *most}}\n"
    )
    assert raised(aliased, "resnet*") == aliased.replace(
        "&most 9M", "&most 21.8M"
    )  # 21,797,672 of ResNet-34


def test_a_limit_that_was_raised_needs_nothing_to_be_accepted(folder: Path) -> None:
    text = "version: 1\nmodels: [{target: resnet18, limits: {params: 12M}}]\n"
    path = Path("dscost.yaml")
    path.write_text(text)
    kept = dscost.update_baseline(path, accept=["resnet18"], raise_limits=True)
    assert (kept.raised, path.read_text()) == ((), text)
    assert kept.update.unused == ("resnet18",)


def test_a_baseline_that_cannot_be_written_leaves_the_budget_as_it_was(folder: Path) -> None:
    text = (
        "version: 1\nbaseline: no/such/kept.json\n"
        "models: [{target: resnet18, limits: {params: 9M}}]\n"
    )
    path = Path("dscost.yaml")
    path.write_text(text)
    with pytest.raises(DscostError, match="cannot write"):
        dscost.update_baseline(path, accept=["resnet18"], raise_limits=True)
    assert path.read_text() == text
    assert list(folder.iterdir()) == [path.resolve()]


@pytest.mark.parametrize(
    "figure", ['"\\u0039M"', "|-\n          9M"], ids=["with escapes", "in a block"]
)
def test_a_figure_that_is_written_strangely_is_left_to_be_raised_by_hand(
    folder: Path, figure: str
) -> None:
    text = f"version: 1\nmodels:\n  - target: resnet18\n    limits:\n      params: {figure}\n"
    path = Path("dscost.yaml")
    path.write_text(text)
    with pytest.raises(DscostError, match=r"^dscost\.yaml: its limits cannot be raised: edit them"):
        dscost.update_baseline(path, accept=["resnet18"], raise_limits=True)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["update", "--raise-limits"], "--raise-limits needs --accept NAME: whose limits to raise"),
        (["save", "--raise-limits"], "--raise-limits has no meaning for baseline save"),
        (["update", "--accept", "resnet18"], "dscost.yaml: names no baseline; add 'baseline: "
         "dscost-baseline.json'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_changes_nothing(
    folder: Path, arguments: list[str], message: str
) -> None:
    Path("dscost.yaml").write_text(SHARED)
    ran = program.run("baseline", *arguments)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"dscost: {message}\n")
    assert Path("dscost.yaml").read_text() == SHARED


def test_of_a_model_that_is_not_taken_over_whole_no_limit_is_raised(folder: Path) -> None:
    net = Path("net.yaml")
    net.write_text("input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 4}]\n")
    path = Path("dscost.yaml")
    text = (
        "version: 1\nbaseline: kept.json\nmodels:\n"
        f"  - {{name: net, target: net.yaml, limits: {{params: {4 * 3 * 9 + 4}}}}}\n"
    )
    path.write_text(text)
    dscost.save_baseline(path)
    before = Path("kept.json").read_bytes()
    net.write_text("input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 8}]\n")
    refused = dscost.update_baseline(path, accept=["net/params"], raise_limits=True)
    assert (refused.exit_code, refused.raised) == (1, ())
    assert (path.read_text(), Path("kept.json").read_bytes()) == (text, before)
    taken = dscost.update_baseline(path, accept=["net"], raise_limits=True)
    assert [(one.before, one.after) for one in taken.raised] == [("112", "224")]
    assert dscost.check(path).exit_code == 0


@law
@given(
    st.sampled_from(["count", "bytes"]),
    st.from_regex(r"[0-9]{1,4}(_[0-9]{3}){0,2}(\.[0-9]{1,3})?(e[0-9])? ?", fullmatch=True),
    st.data(),
    st.integers(min_value=0, max_value=10**15),
    st.booleans(),
)
def test_whatever_the_notation_what_is_written_anew_is_read_and_passes(
    kind: str, digits: str, data: st.DataObject, value: int, is_up: bool
) -> None:
    unit = data.draw(st.sampled_from(sorted(QUANTITIES[kind][0])))
    anew = rewritten_quantity(digits + unit, Fraction(value), kind, is_up=is_up)
    assert anew.endswith(unit)
    passes = parse_quantity(anew, kind)
    assert passes >= value if is_up else passes <= value
    assert abs(passes - value) <= Fraction(value, 100) + 1  # no further than it has to be
