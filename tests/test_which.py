"""Whose figure a stated one is: papers, published tables, and what is no figure at all."""

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from program import run
from torch import nn

import dscost
from dscost.analysis.targets import Request
from dscost.attributing.figures import plain_figures
from dscost.attributing.outlook import Outlook
from dscost.attributing.subjects import subject_of
from dscost.attributing.written import parse_figure
from dscost.conventions import convention_names, find_convention
from dscost.errors import InputError

HERE = Path(__file__).parent
NET = """
input: [3, 32, 32]
layers:
  - {conv: 3, out_channels: 16, norm: batch, act: relu}
  - {global_pool: 1}
  - flatten
  - {linear: 10}
"""
FLAT = """
input: [3, 32, 32]
layers:
  - {conv: 3, out_channels: 16, stride: 2, act: relu}
  - flatten
  - {linear: 10}
"""
MACS = 32 * 32 * 16 * 3 * 9 + 16 * 10


def likeliest(target: str, figure: object, **given: object) -> tuple[str, int]:
    found = dscost.which(target, figure, **given)
    assert found.candidates, found
    return found.candidates[0].key.partition("-")[0], found.candidates[0].factor


@pytest.mark.parametrize(
    ("target", "figure", "key", "factor"),
    [
        # He et al. 2015 and those who count it again: the three figures of ResNet-50
        ("resnet50", "4.09", "macs", 1),
        ("resnet50", "4.09G", "macs", 1),
        ("resnet50", "4.11G", "fvcore", 1),
        ("resnet50", "4.11 GFLOPs", "fvcore", 1),
        ("resnet50", "4111512576", "fvcore", 1),
        ("resnet50", "4,132,436,968", "ptflops", 1),
        ("resnet50", "8.2", "macs", 2),
        ("resnet50", "4.1 B", "macs", 1),
        ("resnet50", "25.6M", "params", 1),
        ("resnet50", "25.557 M params", "params", 1),
        ("resnet18", "1.82", "fvcore", 1),
        # Simonyan and Zisserman 2014; torchvision
        ("vgg16", "15.5", "macs", 1),
        ("vgg16", "15.47", "macs", 1),
        # Sandler et al. 2018: 300 M, and 3.47 M parameters without BatchNorm
        ("mobilenet_v2", "300M", "macs", 1),
        ("mobilenet_v2", "0.3", "macs", 1),
        ("mobilenet_v2", "3.4M", "params without BatchNorm", 1),
        ("mobilenet_v2", "0.32", "ptflops", 1),
        ("mobilenet_v2", "0.31", "fvcore", 1),
        # Howard et al. 2017
        ("mobilenet_v1", "569M", "macs", 1),
        ("mobilenet_v1", "569", "macs", 1),
        ("mobilenet_v1", "4.2M", "params", 1),
        # Tan and Le 2019
        ("efficientnet_b0", "0.39B", "macs", 1),
        ("efficientnet_b0", "390M", "macs", 1),
    ],
)
def test_figures_of_papers_are_who_counts_so(
    target: str, figure: str, key: str, factor: int
) -> None:
    assert likeliest(target, figure) == (key, factor)


with (HERE / "data" / "torchvision_weights_meta.csv").open() as file:
    PUBLISHED = {
        row["model"]: float(row["gflops_ops"])
        for row in csv.DictReader(file)
        if row["crop_size"] == "224"
        and row["model"] in ("resnet18", "resnet101", "vgg16", "mobilenet_v3_large")
    }


@pytest.mark.parametrize("model", PUBLISHED)
def test_what_torchvision_publishes_is_macs(model: str) -> None:
    assert likeliest(model, PUBLISHED[model]) == ("macs", 1)


@pytest.mark.parametrize(
    ("target", "figure", "given", "inputs"),
    [
        # MobileNetV1, table 7: the resolutions of a width of 1
        ("mobilenet_v1", "418M", {}, 192),
        ("mobilenet_v1", "186M", {}, 128),
        # MobileNetV2 at 160, TensorFlow's table; what is given is what is counted first
        ("mobilenet_v2", "154M", {"input": (1, 3, 160, 160)}, 160),
        ("mobilenet_v2", "97M", {"settings": {"width": 0.5}}, 224),
    ],
)
def test_other_images_are_tried_where_nothing_fits(
    target: str, figure: str, given: dict, inputs: int
) -> None:
    found = dscost.which(target, figure, **given)
    assert found.candidates[0].inputs[0] == (1, 3, inputs, inputs)
    assert (found.candidates[0].key, found.candidates[0].factor) == ("macs", 1)


@pytest.mark.parametrize(
    ("model", "side"),
    [("mobilenet_v3_small", 96), ("efficientnet_b0", 232), ("resnet50", 176), ("vgg16", 299)],
)
def test_what_other_images_may_have_is_never_left_out(model: str, side: int) -> None:
    shape, names = (1, 3, side, side), convention_names()
    counted = dscost.analyze(model, shape, convention=names)
    conventions = [find_convention(name) for name in names]
    subject, _ = subject_of(model, Request(), conventions)
    own = subject.as_is()
    for key, totals in counted.by_convention.items():
        stated = parse_figure(str(totals["as_is"]))
        outlook = Outlook(own, plain_figures(own, conventions), stated)
        ((scaled, _),) = own.macs_on([side])
        least = (
            outlook.on_scaled_images(scaled, subject.macs_off),
            outlook.on_other_images(counted.totals.as_is.macs),
        )
        assert least == (0, 0), key
        found = dscost.which(model, stated.text, exhaustive=True).candidates
        assert any((one.amount, one.inputs) == (totals["as_is"], (shape,)) for one in found), key


@pytest.mark.parametrize(
    ("figure", "side"),
    [
        # a convolution of 16 × 3 × 9 weights at half the side, and 16 · (side / 2)² · 10 of the linear layer
        (48 * 48 * 16 * 27 + 16 * 48 * 48 * 10, 96),
        (112 * 112 * 16 * 27 + 16 * 112 * 112 * 10, 224),
        (f"{16 * 28 + 16 * 48 * 48 * 10 + 10} params", 96),
    ],
)
def test_a_layer_that_reads_all_positions_is_as_large_as_the_images_make_it(
    tmp_path: Path, figure: object, side: int
) -> None:
    (tmp_path / "flat.yaml").write_text(FLAT)
    found = dscost.which(tmp_path / "flat.yaml", str(figure)).candidates[0]
    assert (found.inputs, found.how) == (((1, 3, side, side),), "exact")


def test_images_on_which_strides_leave_more_than_one_position_make_the_layer_larger(
    tmp_path: Path,
) -> None:
    strided = "  - {conv: 3, out_channels: 16, stride: 2, act: relu}\n"
    (tmp_path / "net.yaml").write_text(
        f"input: [3, 32, 32]\nlayers:\n{5 * strided}  - flatten\n  - {{linear: 10}}\n"
    )
    params = 16 * 28 + 4 * 16 * 145 + 10 * (16 * 7 * 7 + 1)  # at 224 by 224 seven by seven are left
    found = dscost.which(tmp_path / "net.yaml", f"{params} params").candidates[0]
    assert (found.inputs, found.how) == (((1, 3, 224, 224),), "exact")


@pytest.mark.parametrize("is_saved", [False, True])
def test_rules_of_ones_own_may_count_multiply_accumulates_at_different_rates(
    tmp_path: Path, is_saved: bool
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\ncounts: FLOPs\nmeans: its own\nsource: us\nrules:\n"
        "  - {operators: aten::conv2d, counts: {macs: 3}}\n"
        "  - {operators: aten::linear, counts: {macs: 1}}\n"
    )
    target: str | Path = "resnet18"
    mine = tmp_path / "mine.yaml"
    if is_saved:
        target = tmp_path / "saved.json"
        dscost.analyze("resnet18", convention=mine).save(target)
    separable = dscost.analyze("resnet18").totals.depthwise_separable.macs
    figure = 3 * separable - 2 * 512 * 1000
    further = () if is_saved else mine
    found = dscost.which(target, str(figure), convention=further, exhaustive=True).candidates
    assert any(one.title == "Mine" and one.amount == figure for one in found)


@pytest.mark.parametrize("model", ["mobilenet_v2", "resnet18", "efficientnet_b0", "flat.yaml"])
def test_what_other_versions_may_have_is_never_left_out(tmp_path: Path, model: str) -> None:
    (tmp_path / "flat.yaml").write_text(FLAT)
    target = tmp_path / model if model == "flat.yaml" else model
    conventions = [find_convention(name) for name in convention_names()]
    subject, _ = subject_of(target, Request(), conventions)
    own = subject.as_is()
    figures = list(plain_figures(own, conventions))
    whole = [own, *(one.seen() for one in subject.versions())]
    bare = [one.without_classifier() for one in whole if one]
    assert len(whole) == len(bare) == 3
    for seen in filter(None, (*whole, *bare)):
        for figure in plain_figures(seen, conventions):
            outlook = Outlook(own, figures, parse_figure(str(int(figure.amount))))
            assert outlook.in_other_version(seen.macs, seen.params) == 0, (seen.changes, figure.key)


@pytest.mark.parametrize(
    ("figure", "changes"),
    [
        ("29.3M params", ("made standard",)),  # MobileNetV1, table 4: Conv MobileNet
        ("28.27M", ("made standard", "without its classifier")),  # less 1024 × 1000 + 1000
    ],
)
def test_parameters_of_the_other_version_are_found(figure: str, changes: tuple[str, ...]) -> None:
    found = dscost.which("mobilenet_v1", figure).candidates[0]
    assert (found.key, found.changes) == ("params", changes)


def test_the_other_version_comes_last_and_papers_leave_the_classifier_out() -> None:
    # MobileNetV1, table 4: Conv MobileNet, whose 1.024 M of the classifier are not counted
    found = dscost.which("mobilenet_v1", "4866M").candidates[0]
    assert found.changes == ("made standard", "without its classifier")
    assert found.amount == 4_866_269_184


def test_a_figure_of_one_digit_is_no_verdict_on_what_is_not_the_model_as_it_is() -> None:
    # 4.09G, 4.11G and 4.13G are not 5G, and no other size of images is meant more than another
    _, head, *lines = run("which", "resnet50", "5G").stdout.splitlines()
    found = dscost.which("resnet50", "5G").candidates
    assert head == (
        f"5G has one digit: {len(found)} readings fit, none of resnet50 as it is at 1×3×224×224; "
        "the nearest are these."
    )
    assert lines[-1] == f"{len(found) - 4} more; --all shows every one."
    off = [abs(one.amount / 10**9 - 5) / (one.amount / 10**9) for one in found]
    assert off == sorted(off)


def test_of_a_figure_of_one_digit_the_plain_readings_come_first() -> None:
    lines = run("which", "resnet50", "4G", "--all").stdout.splitlines()
    found = dscost.which("resnet50", "4G", exhaustive=True).candidates
    plain = [one for one in found if one.is_own_input and not one.changes]
    assert 4 < len(plain) < len(found)
    assert tuple(plain) == found[: len(plain)]
    assert lines[1] == (
        f"4G has one digit: {len(found)} readings fit, the first {len(plain)} of resnet50 as it is "
        "at 1×3×224×224."
    )
    assert lines[2] == "Its multiply-accumulates (4.0892G); torchvision counts the same."
    assert len(lines) == 2 + len(found)


def test_digits_that_were_cut_off_are_less_likely_than_rounded_ones() -> None:
    found = dscost.which("resnet50", "4.08").candidates[0]
    assert (found.key, found.how) == ("macs", "cut off")
    assert dscost.which("resnet50", "4.1", exhaustive=True).candidates[0].how == "rounded"


def test_a_batch_is_told_as_a_whole_and_for_one_image() -> None:
    whole = dscost.which("resnet50", "16.36G", batch=4).candidates[0]
    assert (whole.key, whole.per_image) == ("macs", False)
    one = dscost.which("resnet50", "4.09G", batch=4).candidates[0]
    assert (one.key, one.per_image) == ("macs", True)


@pytest.mark.parametrize(
    ("target", "figure", "key", "how", "read_as"),
    [
        # fvcore counts 4,111,512,576 for ResNet-50; Tan and Le 2019: 0.39 B
        ("resnet50", 4.11e9, "fvcore", "rounded", "4.11G"),
        ("resnet50", "4110000000.0", "fvcore", "rounded", "4.11G"),
        ("resnet50", "4.11e9", "fvcore", "rounded", "4.11G"),
        ("resnet50", 4111512576.0, "fvcore", "exact", None),
        ("resnet50", "4100M", "macs", "rounded to hundreds", None),
        ("resnet50", "4110 M", "fvcore", "rounded to tens", None),
        ("mobilenet_v2", "300M", "macs", "rounded to tens", None),
        ("efficientnet_b0", 0.39, "macs", "rounded", "0.39G"),
        ("resnet50", "~4.09G", "macs", "rounded", None),
        ("resnet50", "≈ 4.11 gflops", "fvcore", "rounded", None),
        ("resnet50", "about 4.09 GMac", "macs", "rounded", None),
        ("resnet50", "ca. 4.09 billion", "macs", "rounded", None),
        ("resnet50", "4.09bn", "macs", "rounded", None),
    ],
)
def test_figures_are_read_as_programs_and_people_write_them(
    target: str, figure: object, key: str, how: str, read_as: str | None
) -> None:
    found = dscost.which(target, figure).candidates[0]
    assert (found.key.partition("-")[0], found.how, found.read_as) == (key, how, read_as)


def test_zeros_before_the_unit_leave_two_digits_that_count() -> None:
    assert parse_figure("300M").reading_of(260_000_000) is None
    assert parse_figure("20M").reading_of(24_000_000) is None
    assert [one.how for one in parse_figure("4M").readings] == ["rounded", "cut off"]


@pytest.mark.parametrize(
    ("figure", "key", "read_as"),
    [("4.1T", "macs", "4.1G"), ("4.1M", "macs", "4.1G"), ("25.6T", "params", "25.6M")],
)
def test_a_figure_in_the_wrong_unit_is_told_in_the_right_one(
    figure: str, key: str, read_as: str
) -> None:
    found = dscost.which("resnet50", figure)
    assert not found.fits
    assert not found.nearest
    assert (found.instead.key, found.instead.read_as) == (key, read_as)


def test_what_comes_near_is_told_once_for_each_figure() -> None:
    near = dscost.which("resnet50", "7.77G").nearest  # at 300 and at 299 it is the same
    assert len({int(one.amount) for one in near}) == len(near) == 3


def test_nothing_is_claimed_where_nothing_fits() -> None:
    found = dscost.which("resnet50", "5.0")
    assert not found.fits
    assert not found.candidates
    assert len(found.nearest) == 3
    assert all(0 < one.distance < 0.06 for one in found.nearest)


def test_readings_of_a_figure_are_what_rounds_to_it() -> None:
    rounded, cut_off = parse_figure("4.11G").readings
    assert (rounded.low, rounded.high) == (4_105_000_000, 4_115_000_000)
    assert (cut_off.low, cut_off.high) == (4_110_000_000, 4_120_000_000)
    assert parse_figure("1.5e9").reading_of(1_549_999_999).how == "rounded"
    assert parse_figure("320_300_008").readings[0].how == "exact"
    assert parse_figure("300M").reading_of(304_000_000).how == "rounded to tens"


@pytest.mark.parametrize(
    ("figure", "told"),
    [
        ("abc", "expected a figure such as 4.11G, 320M, 320300008 or 0.32, found 'abc'"),
        ("", "expected a figure such as"),
        ("0", "expected a figure above 0, found '0'"),
        ("0.000", "expected a figure above 0"),
        ("-3G", "expected a figure above 0, found '-3G'"),
        ("nan", "expected a figure such as"),
        ("inf", "expected a figure such as"),
        (float("nan"), "expected a figure such as"),
        ("1e400", "no model counts as much, or as little, as '1e400'"),
        ("1e-40", "no model counts as much, or as little"),
        ("9" * 31, "no model counts as much as"),
        ("9" * 10_000, "expected a figure such as"),
        (10**5000, "no model counts as much as a number of 16610 bits"),
        ("4.11 apples", "unknown unit 'apples' in '4.11 apples', expected a figure such as"),
        ("4.11g", "unknown unit 'g' (did you mean 'G'?)"),
        ("4,11G", "decimals stand behind a point"),
        ("4.11G\x1b[31m", "expected a figure such as"),
        (True, "found True"),
        (None, "found None"),
        ([4], "found [4]"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_figure_is_told_in_a_line(figure: object, told: str) -> None:
    with pytest.raises(InputError) as error:
        dscost.which("resnet18", figure)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


# -- the command


def test_the_command_answers_in_a_sentence() -> None:
    ran = run("which", "resnet50", "4.11G")
    assert ran.returncode == 0
    assert ran.stdout == (
        "resnet50 at 1×3×224×224: 4.11G\n"
        "fvcore's FLOPs (4.1115G: MACs with BatchNorm at 2 per element and average pool on top); "
        "MACs alone are 4.089G.\n"
    )


def test_words_of_a_figure_need_no_quotes_and_a_guess_is_said() -> None:
    quoted = run("which", "resnet50", "4.11 GFLOPs").stdout
    assert run("which", "resnet50", "4.11", "GFLOPs").stdout == quoted
    assert "4.11, read as 4.11G\n" in run("which", "resnet50", "4.11").stdout
    assert "read as" not in quoted


def test_a_figure_that_nothing_is_near_to_is_told_in_its_unit() -> None:
    ran = run("which", "resnet50", "4.1", "TFLOPs")
    assert ran.returncode == 1
    _, verdict, instead = ran.stdout.splitlines()
    assert verdict.startswith("Nothing fits")
    assert instead.startswith("As 4.1G it would be its multiply-accumulates (4.0892G)")


def test_the_command_says_that_nothing_fits() -> None:
    ran = run("which", "resnet50", "5.0")
    assert ran.returncode == 1
    _, verdict, *near = ran.stdout.splitlines()
    assert verdict.startswith("Nothing fits: none of ")
    assert len(near) == 3
    assert all(line.endswith(("% below.", "% above.")) for line in near)


def test_all_readings_are_shown_where_asked_for() -> None:
    few = run("which", "resnet50", "4.1", "-n", "1").stdout
    assert "less likely readings fit; --all shows every one." in few
    assert "less likely" not in run("which", "resnet50", "4.1", "-n", "1", "-q").stdout
    every = json.loads(run("which", "resnet50", "4.1", "--all", "--json").stdout)
    departures = [one["departures"] for one in every["candidates"]]
    assert departures == sorted(departures)
    assert len(departures) > 3


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("resnet50", "abc"), "expected a figure such as"),
        (("resnet50", "-4.11G"), "expected a figure above 0, found '-4.11G'"),
        (("resnet50", "1e400"), "no model counts as much"),
        (("net.yaml", "4.1"), "net.yaml"),
        (("resnet50", "4.1", "G", "5"), "expected a figure such as"),
        (("resnet50", "4.1G", "--input", "384"), "write --input 1,3,384,384"),
        (("resnet50", "4.1", "--all", "-n", "2"), "--all shows every reading"),
        (("resnet50", "4.1", "--convention", "nowhere.yaml"), "nowhere.yaml"),
        (("resnet50", "4.1", "--convention", "fvcoer"), "fvcore"),
        (("resnet50",), "Missing argument 'NUMBER'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(line: tuple[str, ...], told: str) -> None:
    ran = run("which", *line)
    assert ran.returncode == 2
    assert told in ran.stderr
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr


def test_a_saved_report_has_the_figures_that_it_has(tmp_path: Path) -> None:
    saved = tmp_path / "report.json"
    dscost.analyze("resnet50", convention="fvcore").save(saved)
    ran = run("which", str(saved), "4.11G")
    assert ran.returncode == 0
    assert "fvcore's FLOPs (4.1115G" in ran.stdout
    assert "Of a saved report only the figures that it has are known" in ran.stdout
    assert run("which", str(saved), "4.13G").returncode == 1
    ran = run("which", str(saved), "4.13G", "--batch", "2")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "is a saved report, counted already: --batch cannot change it" in ran.stderr


def test_every_figure_of_a_saved_report_is_named_as_it_was_saved(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "mine.yaml").write_text(
        "title: Tuned 2.1\ncounts: FLOPs\nmeans: two each\nsource: us\n"
        "rules:\n  - {operators: [aten::conv2d, aten::linear], counts: {macs: 5}}\n"
    )
    saving = ("model", "net.yaml", "--no-time", "--convention", "mine.yaml", "-o", "net.json")
    assert run(*saving, cwd=tmp_path).returncode == 0
    (found,) = dscost.which(tmp_path / "net.json", str(5 * MACS)).candidates
    assert (found.key, found.title, found.counts) == ("mine", "Tuned", "FLOPs")
    ran = run("which", "net.json", str(5 * MACS), cwd=tmp_path)
    assert f"Tuned's FLOPs ({5 * MACS:,}: MACs at 5)" in ran.stdout


@pytest.mark.parametrize("is_saved", [False, True])
def test_what_is_two_for_each_mac_already_is_not_doubled(tmp_path: Path, is_saved: bool) -> None:
    (tmp_path / "net.yaml").write_text(NET)
    for name, each in (("once", 1.75), ("twice", 3.5)):
        (tmp_path / f"{name}.yaml").write_text(
            f"title: {name}\ncounts: FLOPs\nmeans: its own\nsource: us\nrules:\n"
            f"  - {{operators: [aten::conv2d, aten::linear], counts: {{macs: {each}}}}}\n"
        )
    both = [tmp_path / "once.yaml", tmp_path / "twice.yaml"]
    target = tmp_path / "net.yaml"
    if is_saved:
        target = tmp_path / "net.json"
        dscost.analyze(tmp_path / "net.yaml", convention=both).save(target)
    (found,) = dscost.which(target, str(7 * MACS // 2), convention=both).candidates
    assert (found.title, found.factor, found.alike) == ("twice", 1, ("once",))
    assert not dscost.which(target, str(7 * MACS), convention=both).fits


def test_what_is_divided_by_the_batch_is_of_one_image() -> None:
    ran = run("which", "resnet18", "1.83G", "--batch", "4")
    assert (
        "ptflops' MACs for one image (1.8347G: MACs with bias, BatchNorm at 2 per element, and "
        "activations and pooling both as modules and as functions on top); MACs alone are 1.814G."
    ) in ran.stdout


def test_a_convention_of_ones_own_is_held_against_it_too(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "mine.yaml").write_text(
        "title: Ours\ncounts: ops\nmeans: all times three\nsource: none\n"
        "rules:\n  - {operators: [aten::conv2d, aten::linear], counts: {macs: 3}, called: thrice}\n"
    )
    figure = str(3 * MACS)
    assert run("which", "net.yaml", figure, cwd=tmp_path).returncode == 0  # forward and backward
    ran = run("which", "net.yaml", figure, "--convention", "mine.yaml", cwd=tmp_path)
    assert ran.stdout.splitlines()[1].startswith(f"Ours' ops ({3 * MACS:,}: ")


def test_rows_have_a_line_for_each_candidate(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NET)
    text = run("which", "net.yaml", str(MACS), "--format", "csv", cwd=tmp_path).stdout
    (row, *_) = csv.DictReader(text.splitlines())
    assert (row["convention"], row["count"], row["input"]) == ("macs", str(MACS), "1×3×32×32")


# -- torch models and ONNX files


class Branches(nn.Module):
    """A 3×3 and a 1×1 convolution, each with BatchNorm: one 3×3 convolution once deployed, as RepVGG."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.narrow = nn.Sequential(nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.deployed: nn.Conv2d | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.wide(x) + self.narrow(x) if self.deployed is None else self.deployed(x)

    def switch_to_deploy(self) -> None:
        self.deployed = nn.Conv2d(4, 8, 3, padding=1)
        del self.wide, self.narrow


PIXELS = 16 * 16
WIDE, NARROW, NORMS = PIXELS * 8 * 4 * 9, PIXELS * 8 * 4, 2 * 2 * PIXELS * 8


@pytest.mark.parametrize(
    ("figure", "key", "changes"),
    [
        (WIDE + NARROW, "macs", ()),
        (WIDE + NARROW + NORMS, "fvcore", ()),
        (WIDE, "macs", ("reparameterised",)),
        (4 * 8 * (9 + 1), "params without BatchNorm", ()),
    ],
)
def test_branches_are_told_from_what_is_deployed(
    figure: int, key: str, changes: tuple[str, ...]
) -> None:
    model = nn.Sequential(Branches())
    found = dscost.which(model, figure, (1, 4, 16, 16)).candidates[0]
    assert (found.key.partition("-")[0], found.changes) == (key, changes)
    assert model[0].deployed is None  # it is left as it is


class Unfusable(Branches):
    def switch_to_deploy(self) -> None:
        raise ValueError("not trained yet")


def test_what_cannot_be_fused_is_told_by_what_it_is() -> None:
    found = dscost.which(nn.Sequential(Unfusable()), WIDE, (1, 4, 16, 16))
    assert all(one.changes != ("reparameterised",) for one in (*found.candidates, *found.nearest))


def test_a_torch_model_is_tried_on_other_images() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(2))
    found = dscost.which(model, 128 * 128 * 8 * 27, (2, 3, 64, 64), batch=1).candidates[0]
    assert (found.key, found.inputs) == ("macs", ((1, 3, 128, 128),))


class OfOneSize(nn.Module):
    """A network that is made for images of one size."""

    def __init__(self, image_size: int = 64) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, stride=8)
        self.head = nn.Linear(8 * (image_size // 8) ** 2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).flatten(1))


def test_a_factory_that_takes_the_size_is_asked_for_others() -> None:
    macs = 16 * 16 * (8 * 27 + 8 * 2)
    target = f"{__file__}:OfOneSize"
    found = dscost.which(target, macs, (1, 3, 64, 64))
    assert (found.candidates[0].key, found.candidates[0].inputs) == ("macs", ((1, 3, 128, 128),))
    assert found.limits == ""
    made = dscost.which(OfOneSize(), macs, (1, 3, 64, 64))
    assert not made.fits
    assert made.limits == "It does not take images of all sizes: not all could be tried."


class Attending(nn.Module):
    """A linear layer, another as a function, and attention in one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = nn.functional.linear(x, self.second.weight)
        return nn.functional.scaled_dot_product_attention(x, x, x)


LINEAR = 16 * 8 * 8


@pytest.mark.parametrize(
    ("figure", "key", "without"),
    [
        (2 * LINEAR, "fvcore", ("fused attention",)),
        (LINEAR, "thop", ("fused attention", "what the model itself calls")),
    ],
)
def test_what_is_not_counted_is_told(figure: int, key: str, without: tuple[str, ...]) -> None:
    found = dscost.which(Attending(), figure, (1, 16, 8), exhaustive=True).candidates
    told = {one.without for one in found if key in (one.key[: len(key)], *one.alike)}
    assert without in told


def test_one_that_takes_one_size_only_has_no_figure_on_another() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 64 * 64, 2))
    assert not dscost.which(model, 128 * 128 * 8 * 27 + 8 * 128 * 128 * 2, (1, 3, 64, 64)).fits


def test_an_onnx_file_has_its_own_figures(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "net.yaml").write_text(NET)
    assert (
        run(
            "model", "net.yaml", "--no-time", "-q", "--export", "onnx=net.onnx", cwd=tmp_path
        ).returncode
        == 0
    )
    ran = run("which", "net.onnx", str(MACS), cwd=tmp_path)
    assert ran.returncode == 0
    assert f"Its multiply-accumulates ({MACS:,})" in ran.stdout
    assert "No other counter reads an ONNX file" in ran.stdout
    assert run("which", "net.onnx", str(MACS + 1), cwd=tmp_path).returncode == 1


def test_nothing_is_judged_where_not_all_is_counted(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nclass Net(torch.nn.Module):\n"
        "    def forward(self, x):\n        return torch.linalg.inv(x)\n"
    )
    ran = run("which", "net.py:Net", "1M", "--input", "8,8", cwd=tmp_path)
    assert ran.returncode == 2
    assert "Operators of unknown cost are in no figure: aten::linalg_inv" in ran.stdout


@pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")
def test_timms_tables_have_repvgg_as_it_is_trained_and_as_it_is_deployed() -> None:
    trained = dscost.which("timm:repvgg_b0", "3.41").candidates[0]
    deployed = dscost.which("timm:repvgg_b0", "3.06").candidates[0]
    assert (trained.key, trained.changes) == ("fvcore-0.1.5", ())
    assert deployed.changes == ("reparameterised",)
