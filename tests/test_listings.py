"""`dscost list`: figures to choose by, and where they are from."""

import csv
import io
import json
import re
from typing import Any

import pytest
from program import run

import dscost
from dscost.configs import config_folder
from dscost.networks.architectures import builtins, find_builtin

TWO = {"resnet18": (11_689_512, 1_814_073_344, 2015), "vgg16": (138_357_544, 15_470_264_320, 2014)}
"""Params and MACs as torchvision has them, the year as arXiv."""


def names(*arguments: str) -> dict[str, Any]:
    found = json.loads(run("list", *arguments, "--json").stdout)["names"]
    return {one["name"]: one for one in found}


def lines(*arguments: str) -> list[str]:
    return run("list", *arguments).stdout.splitlines()


def order(*arguments: str) -> list[str]:
    """Return the names in the first column of a table, from top to bottom."""
    text = lines(*arguments)
    (rule,) = (at for at, line in enumerate(text) if line.startswith("──"))
    return [line.split()[0] for line in text[rule + 1 : text.index("", rule)]]


def test_models_are_listed_with_params_macs_and_year() -> None:
    found = names("models")
    for name, figures in TWO.items():
        assert tuple(found[name][key] for key in ("params", "macs", "year")) == figures
    (header,) = (line for line in lines("models") if line.startswith("model "))
    assert header.split() == ["model", "params", "MACs", "input", "year", "description"]
    (row,) = (line for line in lines("models") if line.startswith("resnet18 "))
    assert row.split() == ["resnet18", "11.69M", "1.814G", "1×3×224×224", "2015", "Residual", "networks"]  # fmt: skip


def test_figures_of_the_list_are_those_of_the_model() -> None:
    for name in ("mobilenet_v1", "xception"):
        cost = dscost.analyze(name).totals.as_is
        listed = names("models")[name]
        assert (listed["params"], listed["macs"]) == (cost.params, cost.macs)
        assert listed["input"] == ",".join(map(str, dscost.analyze(name).inputs[0].shape))


def test_every_built_in_has_the_year_of_its_paper() -> None:
    for one in builtins():
        year, month = re.search(r"arXiv:(\d\d)(\d\d)", one.file.source or "").groups()  # type: ignore[union-attr]
        assert one.file.year == 2000 + int(year), month


@pytest.mark.parametrize(
    ("source", "year"),
    [
        ("Howard et al. 2017, MobileNets (arXiv:1704.04861)", 2017),
        ("arXiv:1905.11946", None),
        ("my own, 2048 channels wide, after Chollet 2016", 2016),
        ("LeCun 1998, revised 2001", 1998),
        (None, None),
    ],
)
def test_the_year_of_a_source_is_the_first_that_it_names(
    source: str | None, year: int | None
) -> None:
    assert find_builtin("resnet18").file._replace(source=source).year == year


def test_devices_are_listed_with_peak_bandwidth_and_ridge() -> None:
    pi = names("devices")["raspberry_pi_4"]
    assert (pi["flops_per_s"], pi["bytes_per_s"]) == (48e9, 12.8e9)
    assert pi["ridge_flops_per_byte"] == 3.75  # 48 / 12.8
    assert "float16_flops_per_s" not in pi
    (row,) = (line for line in lines("devices") if line.startswith("t4 "))
    # 8.1 TFLOP/s, 320 GB/s, 8100 / 320, and tensor cores
    assert row.split() == ["t4", "8,100", "320", "25.3", "65,000", "130,000", "NVIDIA", "T4"]


def test_sweeps_are_listed_with_their_layers() -> None:
    assert names("sweeps")["separable_pays"]["layers"] == 4 * 5 * 3
    (row,) = (line for line in lines("sweeps") if line.startswith("heads "))
    assert row.split()[:3] == ["heads", str(2 * 2 + 2 + 3 * 3), "Heads"]
    built_in = {path.stem for path in config_folder("sweeps").glob("*.yaml")}
    assert order("sweeps", "--sort", "layers")[0] == "separable_pays"
    assert set(names("sweeps")) == built_in


def test_tables_for_search_are_listed() -> None:
    assert {"ofa", "proxylessnas", "nnmeter", "plain"} <= names("tables").keys()


def test_a_list_is_sorted_by_a_figure_largest_first() -> None:
    assert order("models", "--sort", "params")[:3] == ["vgg16", "efficientnet_b7", "resnet152"]
    assert order("models", "--sort", "name") == sorted(names("models"))
    assert order("devices", "--sort", "int8_flops_per_s")[0] == "h100"
    assert order("devices", "--sort", "int8_flops_per_s")[-1] == "v100"  # that has none


def test_a_sort_key_that_there_is_not_is_told() -> None:
    for arguments, told in [
        (("models", "--sort", "parms"), "unknown sort key 'parms' (did you mean 'params'?)"),
        (("formats", "--sort", "params"), "unknown sort key 'params' (known: name)"),
        (("--sort", "params", "--json"), "--sort has no meaning for --format json"),
    ]:
        ran = run("list", *arguments)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr == f"dscost: {told}\n"


@pytest.mark.parametrize("kind", ["models", "devices", "variants"])
def test_sources_are_told_with_v_only_and_once(kind: str) -> None:
    plain, verbose = run("list", kind).stdout, run("list", kind, "-v").stdout
    for one in names(kind).values():
        assert one["source"] not in plain
        assert verbose.count(one["source"]) == 1 or kind == "variants"
        assert one["source"] in verbose


def test_a_list_for_programs_has_every_figure_exact() -> None:
    rows = list(csv.DictReader(io.StringIO(run("list", "models", "--format", "csv").stdout)))
    assert list(rows[0]) == ["name", "meaning", "params", "macs", "input", "year", "source"]
    (row,) = (row for row in rows if row["name"] == "resnet18")
    assert (row["params"], row["macs"]) == ("11689512", "1814073344")
    formats = csv.DictReader(io.StringIO(run("list", "formats", "--format", "csv").stdout))
    assert formats.fieldnames == ["name", "meaning"]


def test_formats_of_ci_are_listed_beside_those_for_people() -> None:
    listed = [line.split()[0] for line in lines("formats")]
    assert {"table", "json", "csv", "markdown", "github", "gitlab", "junit", "sarif"} <= set(listed)


def test_pictures_are_listed_with_the_commands_that_draw_them() -> None:
    named = {line.split()[0]: line for line in lines("pictures")}
    assert "[model, compare, convert]" in named["layers"]
    assert "[sweep]" in named["crossover"]


@pytest.mark.parametrize("kind", ["models", "devices"])
def test_a_narrow_terminal_keeps_the_figures(kind: str) -> None:
    from dscost.cli.listing import KINDS
    from dscost.pages.listings import Listing
    from dscost.rendering import View, render

    listing = Listing(kind, KINDS[kind]())
    assert "Not shown" not in render(listing, "table", View(width=60, wide=True))
    text = render(listing, "table", View(width=60))
    assert "description (see them with --wide)" in " ".join(text.split())
    assert max(len(line) for line in text.splitlines()) <= 60
    expected = {"models": ("params", "MACs", "year"), "devices": ("GFLOP/s", "GB/s", "ridge")}
    assert all(header in text for header in expected[kind])
