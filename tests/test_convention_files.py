"""Conventions of one's own: files, what is said of wrong ones, and those of other packages."""

import json
import re
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft7Validator
from program import run

import dscost
from dscost.configs import config_folder
from dscost.conventions import (
    CONVENTIONS,
    Convention,
    Rule,
    convention_names,
    find_convention,
    quantities,
)
from dscost.conventions.files import read_convention
from dscost.conventions.quantities import QUANTITIES
from dscost.errors import FileProblems, InputError, UnknownNameError
from dscost.notation.marked_yaml import parse_yaml
from dscost.schemas import schema

FILE = """\
title: Mine
counts: FLOPs
means: Two a multiply-accumulate, one a bias.
source: our wiki
rules:
  - operators: aten::conv2d
    counts: {macs: 2, bias: 1}
"""
LAYER: dict[str, Any] = {
    "in_channels": 8,
    "out_channels": 16,
    "kernel_size": 3,
    "input_size": 7,
    "bias": True,
}
FLOPS = 2 * 7 * 7 * 16 * 8 * 9 + 7 * 7 * 16


@pytest.fixture(autouse=True)
def nothing_stays_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CONVENTIONS, "_entries", {})
    monkeypatch.setattr(CONVENTIONS, "_found", {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    return path


def problems(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(FileProblems) as caught:
        read_convention(path)
    return [line.removeprefix(f"{path.parent}/") for line in str(caught.value).splitlines()]


def test_a_file_is_read_as_it_is_written(path: Path) -> None:
    path.write_text(
        FILE.replace("source: our wiki", "source: [a, b]\nfaults: none that we know of").replace(
            "macs: 2", "macs: 0.1"
        )
    )
    found = read_convention(path)
    assert (found.key, found.title, found.source) == ("mine", "Mine", ("a", "b"))
    assert found.faults == ("none that we know of",)
    counts = {"macs": Fraction(1, 10), "bias": Fraction(1)}
    assert found.rules == (Rule("operators", ("aten::conv2d",), counts),)


def test_a_file_of_ones_own_counts(path: Path) -> None:
    report = dscost.layer(**LAYER, convention=str(path))
    assert report.by_convention["mine"]["standard"] == FLOPS
    ran = run("list", "conventions", "--json")
    assert "mine" not in {one["name"] for one in json.loads(ran.stdout)["names"]}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("macs", "macss", "7:14: unknown quantity 'macss' (did you mean 'macs'?)"),
        ("title", "titel", "1:1: unknown key 'titel' (did you mean 'title'?)"),
        ("title: Mine\n", "", "1:1: missing key 'title'"),
        ("Mine", "5", "1:8: expected text, found a number"),
        ("Mine", "' '", "1:8: expected text, found nothing"),
        ("our wiki", "[]", "4:9: expected text, found a list"),
        ("macs: 2", "macs: -1", "7:20: expected a number from 0 to 1,000,000, such as 2 or 0.5, found -1"),
        ("macs: 2", "macs: two", "7:20: expected a number from 0 to 1,000,000, such as 2 or 0.5, found 'two'"),
        ("macs: 2", "macs: true", "7:20: expected a number from 0 to 1,000,000, such as 2 or 0.5, found True"),
        ("macs: 2", "macs: 1e30", "7:20: expected a number from 0 to 1,000,000, such as 2 or 0.5, found 1e+30"),
        ("macs: 2", "macs: ~", "7:20: expected a number from 0 to 1,000,000, such as 2 or 0.5, found nothing"),
        ("macs: 2", "macs: [1]", "7:20: expected a number from 0 to 1,000,000, such as 2 or 0.5, found a list"),
        ("macs: 2", "macs: .nan", "7:20: numbers must be finite, found .nan"),
        ("macs: 2", "macs: .inf", "7:20: numbers must be finite, found .inf"),
        ("macs: 2", f"macs: {'9' * 41}", "7:20: a number of more than 40 characters, refused; quote it if it is text"),
        ("macs: 2", "macs: 1, macs: 2", "7:23: duplicate key 'macs' (first on line 7)"),
        ("{macs: 2, bias: 1}", "5", "7:13: expected numbers by quantity, such as {macs: 1}, found a number"),
        ("    counts: {macs: 2, bias: 1}\n", "", "6:5: missing key 'counts'"),
        ("aten::conv2d", "conv2d", "6:16: expected an operator as torch calls it, such as aten::conv2d, found 'conv2d'"),
        ("aten::conv2d", "aten::*", "6:16: expected an operator as torch calls it, such as aten::conv2d, found 'aten::*'"),
        ("aten::conv2d", "[]", "6:16: expected text, found a list"),
        ("aten::conv2d", "[aten::conv2d, 5]", "6:31: expected text, found a number"),
        ("operators: aten::conv2d", "functions: os.system",
         "6:16: expected a function of torch, such as torch.nn.functional.relu, found 'os.system'"),
        ("operators: aten::conv2d", "functions: torch.Tensor.__init__",
         "6:16: expected a function of torch, such as torch.nn.functional.relu, found 'torch.Tensor.__init__'"),
        ("operators: aten::conv2d", "modules: a b",
         "6:14: expected a class of torch.nn such as Conv2d, another with its module, or a pattern, found 'a b'"),
        ("operators: aten::conv2d", "called: mine", "6:5: a rule is of operators, modules or functions"),
        ("  - operators: aten::conv2d", "  - modules: Conv2d\n    operators: aten::conv2d",
         "6:5: a rule is of one kind, found operators and modules"),
        ("operators", "operator", "6:5: unknown key 'operator' (did you mean 'operators'?)"),
        ("rules:\n  - operators: aten::conv2d\n    counts: {macs: 2, bias: 1}\n", "rules: []\n",
         "5:8: expected a list of rules, found nothing"),
        ("rules:\n", "nested: al\nrules:\n", "5:9: unknown scope 'al' (did you mean 'all'?)"),
        ("rules:\n", "per_sample: 1\nrules:\n", "5:13: expected true or false, found 1"),
        ("rules:\n", "variations: {a: }\nrules:\n", "5:17: expected a list of rules, found nothing"),
        ("rules:\n", "variations: {a: [{modules: X}]}\nrules:\n", "5:18: missing key 'counts'"),
        (FILE, "", "1:1: the file is empty"),
        (FILE, "[1]", "1:1: expected a mapping with title, counts, means, source, rules, found a list"),
        (FILE, "mine", "1:1: expected a mapping with title, counts, means, source, rules, found text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(
    path: Path, before: str, after: str, told: str
) -> None:
    assert FILE.count(before) >= 1
    found = problems(path, FILE.replace(before, after, 1))
    assert f"mine.yaml:{told}" in found
    assert len(found) == len(set(found))


def test_all_mistakes_are_told_at_once(path: Path) -> None:
    text = FILE.replace("title", "titel").replace("bias", "biass").replace("aten::", "")
    assert len(problems(path, text)) == 4


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"\x00\xff\xfe", "not UTF-8 text"),
        (b"title: [", "not valid YAML: "),
        (None, "Is a directory"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, raw: bytes | None, told: str) -> None:
    path = tmp_path / "x.yaml"
    path.mkdir() if raw is None else path.write_bytes(raw)
    with pytest.raises(InputError, match=told):
        find_convention(str(path))


def test_a_missing_file_and_an_unknown_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.yaml: No such file"):
        find_convention(str(tmp_path / "none.yaml"))
    with pytest.raises(
        UnknownNameError, match=r"unknown convention 'fvcor' \(did you mean 'fvcore'\?\)"
    ):
        find_convention("fvcor")


def test_every_file_that_is_read_is_right_by_the_schema(path: Path) -> None:
    validator = Draft7Validator(schema("convention"))
    for one in (path, *config_folder("conventions").glob("*.yaml")):
        assert validator.is_valid(parse_yaml(one.read_text(), one.name).plain), one
    for before, after in (
        ("macs: 2", "macs: -1"),
        ("macs", "macss"),
        ("aten::conv2d", "conv2d"),
        ("operators: aten::conv2d", "functions: os.system"),
        ("operators: aten::conv2d\n    ", ""),
    ):
        wrong = parse_yaml(FILE.replace(before, after, 1), "x").plain
        assert not validator.is_valid(wrong), after


# -- what is told of files

README = config_folder("conventions") / "README.md"


def first_column(heading: str) -> list[str]:
    """Return the names of the table that is headed so, of each row the first."""
    _, _, table = README.read_text(encoding="utf-8").partition(f"\n| {heading} |")
    rows = takewhile(lambda line: line.startswith("|"), table.splitlines()[2:])
    return [row.split("`")[1] for row in rows]


def test_the_readme_has_every_key_and_every_quantity_that_is_not_of_one_tool() -> None:
    keys = schema("convention")["properties"]
    rule = keys["rules"]["items"]["properties"]
    text = README.read_text(encoding="utf-8")
    assert sorted(first_column("key")) == sorted(keys)
    _, _, rules = text.partition("## Rules")
    assert re.findall(r"^\| `(\w+)` \|", rules.partition("## Quantities")[0], re.M) == list(rule)
    common = [one for one in QUANTITIES if QUANTITIES[one].__module__ == quantities.__name__]
    assert first_column("quantity") == common
    required = schema("convention")["required"]
    assert first_column("key")[: len(required)] == required


def test_the_schema_says_what_every_quantity_is() -> None:
    counts = schema("convention")["properties"]["rules"]["items"]["properties"]["counts"]
    assert set(counts["properties"]) == set(QUANTITIES)
    for one in counts["properties"].values():
        assert len(one["description"]) > 20
    assert counts["properties"]["bias"]["description"] == (
        "Elements of its result if a bias is added to them."
    )


def test_the_file_of_the_readme_counts_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(README.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0])
    (tmp_path / "net.yaml").write_text(
        "input: [3, 8, 8]\nlayers:\n  - {conv: 3, out_channels: 4, act: relu}\n"
        "  - {conv: 1, out_channels: 2, bias: false, act: sigmoid}\n"
    )
    report = dscost.analyze(str(tmp_path / "net.yaml"), convention=str(path))
    flops = 64 * 4 * (2 * 3 * 9 + 1) + 64 * 4 + 64 * 2 * 2 * 4
    assert report.by_convention["ours"]["as_is"] == flops


# -- several, and of one name


def test_one_that_is_asked_for_twice_counts_once(path: Path) -> None:
    report = dscost.layer(**LAYER, convention=["fvcore", "fvcore-0.1.5", str(path), str(path)])
    assert list(report.by_convention) == ["fvcore-0.1.5", "mine"]


def test_two_files_of_one_name_are_refused_unless_they_say_the_same(path: Path) -> None:
    other = path.parent / "other" / "mine.yaml"
    other.parent.mkdir()
    other.write_text(FILE)
    assert set(dscost.layer(**LAYER, convention=[str(path), str(other)]).by_convention) == {"mine"}
    other.write_text(FILE.replace("macs: 2", "macs: 1"))
    with pytest.raises(InputError, match="two conventions are called mine: rename the file"):
        dscost.layer(**LAYER, convention=[str(path), str(other)])


def test_a_file_called_like_a_built_in_one_goes_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "fvcore-0.1.5.yaml"
    path.write_text(FILE)
    assert find_convention(str(path)).key == str(path)
    report = dscost.layer(**LAYER, convention=[str(path), "fvcore"])
    assert list(report.by_convention) == [str(path), "fvcore-0.1.5"]


# -- of other packages


def test_a_registered_one_goes_by_its_name(path: Path) -> None:
    found = dscost.register_convention(str(path))
    assert isinstance(found, Convention)
    assert find_convention("mine") == found
    assert "mine" in convention_names()
    report = dscost.layer(**LAYER, convention="mine")
    assert report.by_convention["mine"]["standard"] == FLOPS
    again = dscost.register_convention(found._replace(title="Ours"))
    assert find_convention("mine").title == again.title == "Ours"


def test_a_built_in_one_cannot_be_replaced(path: Path) -> None:
    found = read_convention(path)._replace(key="fvcore-0.1.5")
    with pytest.raises(
        InputError, match=r"there is a built-in convention 'fvcore-0\.1\.5': call yours otherwise"
    ):
        dscost.register_convention(found)
    with pytest.raises(FileProblems, match="unknown quantity 'macss'"):
        path.write_text(FILE.replace("macs", "macss"))
        dscost.register_convention(path)


def test_one_of_an_installed_package_goes_by_its_entry_point(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = read_convention(path)
    points = {
        "house": SimpleNamespace(load=lambda: ours),
        "broken": SimpleNamespace(load=lambda: "no convention"),
        "fvcore-0.1.5": SimpleNamespace(load=lambda: ours),
    }
    monkeypatch.setattr(CONVENTIONS, "_found", points)
    assert find_convention("house") == ours._replace(key="house")
    assert find_convention("fvcore-0.1.5").title == "fvcore 0.1.5"
    assert convention_names().count("fvcore-0.1.5") == 1
    with pytest.raises(InputError, match=r"the entry point 'broken' of dscost\.conventions is no"):
        find_convention("broken")


# -- the list


def test_conventions_are_listed_with_what_they_call_their_figure() -> None:
    found = {
        one["name"]: one for one in json.loads(run("list", "conventions", "--json").stdout)["names"]
    }
    assert {"fvcore-0.1.5", "ptflops-0.7.5"} <= set(found)
    assert found["fvcore-0.1.5"]["counts"] == "FLOPs"
    assert "jit_handles.py" in found["fvcore-0.1.5"]["source"]
    assert "jit_handles.py" not in run("list", "conventions").stdout
    assert "jit_handles.py" in run("list", "conventions", "-v").stdout
