"""The file of what was known before: how it reads, when it is refused, what an update takes over."""

import json
import os
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from forking import forked
from hypothesis import given
from hypothesis import strategies as st
from program import run, start
from properties import law

import dscost
from dscost.analysis import layer
from dscost.budgets.baseline import (
    Baseline,
    Known,
    baseline_text,
    fingerprint_of,
    parse_baseline,
    read_baseline,
    renamed_layers,
)
from dscost.budgets.kinds import Kind, Part
from dscost.budgets.records import Entry
from dscost.budgets.selectors import parse_selector
from dscost.budgets.updating import updated
from dscost.errors import InputError
from dscost.notation.literals import Reference
from dscost.reports.figures import FIGURES

RESNET18_MACS, RESNET18_PARAMS = 1_814_073_344, 11_689_512
BUDGET = """\
version: 1
baseline: kept.json
models:
  - {target: resnet18, limits: {macs: {max_increase: 0%}}}
  - {target: net.yaml, limits: {params: {max_increase: 0%}}}
"""
FINGERPRINT = {"counting": "1", "input": "1x3x8x8 float32", "target": "m"}


def known(fingerprint: Mapping[str, str] = FINGERPRINT, **figures: int) -> Known:
    return Known(fingerprint, {name: Fraction(value) for name, value in figures.items()}, {})


def network(folder: Path, channels: int) -> None:
    """Write a network of one 3x3 convolution of 3 channels to some, 8 by 8, without bias."""
    (folder / "net.yaml").write_text(
        f"input: [3, 8, 8]\nlayers:\n  - {{conv: 3, out_channels: {channels}, bias: false, name: stem}}\n"
    )


def net_macs(channels: int) -> int:
    return 8 * 8 * channels * 3 * 9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dscost.yaml").write_text(BUDGET)
    network(tmp_path, 4)
    return tmp_path


def kept(folder: Path) -> Mapping[str, Known]:
    found = read_baseline(folder / "kept.json")
    assert found is not None
    return found.models


# -- its text


def test_a_baseline_is_sorted_one_figure_a_line_with_nothing_that_changes_by_itself(
    folder: Path,
) -> None:
    ran = run("baseline", "save", cwd=folder)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == "wrote kept.json: 2 models\n"
    text = (folder / "kept.json").read_text()
    assert text.endswith("}\n")
    document = json.loads(text)
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"
    assert set(document) == {"version", "models"}
    resnet = document["models"]["resnet18"]
    assert set(resnet) == {"fingerprint", "totals", "layers"}
    assert resnet["fingerprint"] == {
        "counting": "1",
        "input": "1x3x224x224 float32",
        "target": "resnet18",
    }
    assert (resnet["totals"]["macs"], resnet["totals"]["params"]) == (
        RESNET18_MACS,
        RESNET18_PARAMS,
    )
    assert (
        sum(value for name, value in resnet["layers"].items() if name.endswith("/macs"))
        == RESNET18_MACS
    )
    assert (
        sum(value for name, value in resnet["layers"].items() if name.endswith("/params"))
        == RESNET18_PARAMS
    )
    whatever_else_is_kept = {name: ANY for name, figure in FIGURES.items() if figure.is_kept}
    assert document["models"]["net.yaml"] == {
        "fingerprint": {"counting": "1", "input": "1x3x8x8 float32", "target": "net.yaml"},
        "layers": {
            "stem/kind": "convolution Conv2d[in_channels=3,out_channels=4,kernel=3,stride=1,dilation=1,groups=1,"
            "bias=0]",
            "stem/macs": net_macs(4),
            "stem/params": 4 * 27,
        },
        "totals": {
            **whatever_else_is_kept,
            "activations": 4 * 64,
            "input_bytes": 4 * 3 * 64,
            "macs": net_macs(4),
            "output_bytes": 4 * 4 * 64,
            "params": 4 * 27,
            "peak_activation_bytes": 4 * (3 + 4) * 64,
            "traffic_bytes": 4 * (3 * 64 + 4 * 64 + 4 * 27),
            "weight_bytes": 4 * 4 * 27,
        },
    }
    numbers = [
        line
        for line in text.splitlines()
        if any(figure.isdigit() for figure in line.partition(":")[2])
    ]
    assert all(line.count(":") == 1 for line in numbers)


def test_saving_twice_gives_the_same_bytes_wherever_the_folder_lies(
    folder: Path, tmp_path_factory: Any
) -> None:
    run("baseline", "save", cwd=folder)
    first = (folder / "kept.json").read_bytes()
    run("baseline", "save", "-q", cwd=folder)
    assert (folder / "kept.json").read_bytes() == first
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "dscost.yaml").write_text(BUDGET)
    network(elsewhere, 4)
    run("baseline", "save", "--config", str(elsewhere / "dscost.yaml"), cwd=elsewhere)
    assert (elsewhere / "kept.json").read_bytes() == first


_NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
_FIGURES = st.integers(0, 10**20).map(Fraction)
_OPS = st.sampled_from(["linear", "idle"])
_PARTS = st.lists(
    st.builds(Part, _OPS, st.none(), st.integers(0, 10**20), st.integers(0, 10**20)),
    min_size=2,
    max_size=3,
).map(tuple) | st.just(())


@law
@given(
    st.dictionaries(
        _NAMES,
        st.builds(
            Known,
            st.dictionaries(_NAMES, _NAMES, max_size=3),
            st.dictionaries(st.sampled_from(["params", "macs", "weight_bytes"]), _FIGURES),
            st.dictionaries(
                st.tuples(_NAMES, st.sampled_from(["params", "macs"])), _FIGURES, max_size=4
            ),
            st.dictionaries(_NAMES, st.builds(Kind, _NAMES, _OPS, st.none(), _PARTS), max_size=4),
        ),
        max_size=3,
    )
)
def test_what_is_written_is_read_back_whatever_the_names_are(models: dict[str, Known]) -> None:
    assert parse_baseline(baseline_text(models), "x") == Baseline(models, "x")
    assert baseline_text(dict(reversed(models.items()))) == baseline_text(models)


# -- refused


def entry(**changes: Any) -> str:
    whole = {"fingerprint": {}, "totals": {"macs": 5}, "layers": {"a.b/macs": 5}}
    return json.dumps({"version": 1, "models": {"m": {**whole, **changes}}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "kept.json:1:1: not JSON: Expecting value"),
        ("{", "kept.json:1:2: not JSON: Expecting property name enclosed in double quotes"),
        ("<<<<<<< HEAD\n{}", "kept.json:1:1: unresolved merge, line 1 to 1: "),
        ("[" * 100_000, "kept.json:1:1: not JSON: nested too deep"),
        ("9" * 5000, "kept.json:1:1: a number of 5,000 characters, at most 40 are read"),
        ("5", "kept.json: not a baseline of dscost: expected 'version' and 'models'"),
        ("null", "kept.json: not a baseline of dscost: expected 'version' and 'models'"),
        ("{}", "kept.json: not a baseline of dscost: expected 'version' and 'models'"),
        ('{"version": 1, "models": []}', "kept.json: not a baseline of dscost: expected 'version' and 'models'"),
        ('{"version": 4, "models": {}}', "kept.json: expected version 1, 2 or 3, found 4"),
        ('{"version": true, "models": {}}', "kept.json: expected version 1, 2 or 3, found True"),
        ('{"models": {}}', "kept.json: expected version 1, 2 or 3, found None"),
        ('{"version": 1, "models": {"m": {}, "m": {}}}', "kept.json:1:36: duplicate key 'm' (first on line 1)"),
        ('{"version": 1, "models": {"m": 5}}', "kept.json: m: not an entry of a baseline: "),
        ('{"version": 1, "models": {"m": {}}}', "kept.json: m: not an entry of a baseline: "),
        (entry(totals={"macs": 5.0}), "kept.json: m: not an entry of a baseline: ValueError: expected a whole number "
         "for 'macs', found 5.0"),
        (entry(totals={"macs": True}), "kept.json: m: not an entry of a baseline: ValueError: expected a whole number"),
        (entry(totals={"macs": "5"}), "kept.json: m: not an entry of a baseline: ValueError: expected a whole number"),
        (entry(totals={"macs": None}), "kept.json: m: not an entry of a baseline: ValueError: expected a whole number"),
        (entry(totals={"macs": -5}), "kept.json: m: not an entry of a baseline: ValueError: expected a whole number"),
        (entry(totals={"mcas": 5}), "kept.json: m: not an entry of a baseline: ValueError: 'mcas' is none of its"),
        (entry(totals=[5]), "kept.json: m: not an entry of a baseline: "),
        (entry(layers={"a": 5}), "kept.json: m: not an entry of a baseline: ValueError: 'a' is none of its figures"),
        (entry(layers={"a/macs": float("nan")}), "kept.json:1:96: not JSON: NaN is no number"),
        (entry(layers={"a/kind": 5}), "kept.json: m: not an entry of a baseline: "),
        (entry(layers={"a/kind": "Conv2d"}), "kept.json: m: not an entry of a baseline: InputError: expected an oper"),
        (entry(fingerprint=None), "kept.json: m: not an entry of a baseline: "),
    ],
)  # fmt: skip
def test_what_is_no_baseline_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text(text)
    with pytest.raises(InputError) as caught:
        read_baseline(tmp_path / "kept.json")
    told = str(caught.value).removeprefix(f"{tmp_path}/")
    assert told.startswith(message)
    assert len(told.splitlines()) == 1


def damages() -> Iterable[Any]:
    yield pytest.param(
        lambda path: path.write_text(path.read_text()[:-500]), "not JSON", id="truncated"
    )
    yield pytest.param(lambda path: path.write_bytes(b"\xff\xfe"), "not UTF-8 text", id="not UTF-8")
    yield pytest.param(
        lambda path: (path.unlink(), path.mkdir()), "Is a directory", id="a directory"
    )
    yield pytest.param(lambda path: path.write_text(path.read_text().replace('n": 2', 'n": 9')), "2 or 3, found 9",
                       id="a later version")  # fmt: skip
    yield pytest.param(lambda path: path.chmod(0), "Permission denied", id="unreadable", marks=pytest.mark.skipif(
        os.geteuid() == 0, reason="root may read everything"))  # fmt: skip
    yield pytest.param(
        lambda path: (path.unlink(), path.symlink_to(path)), "symbolic links", id="a link to itself"
    )


@pytest.mark.parametrize(("damage", "message"), list(damages()))
def test_a_damaged_baseline_exits_2_with_one_line_and_is_not_overwritten(
    damage: Any, message: str, folder: Path
) -> None:
    run("baseline", "save", cwd=folder)
    damage(folder / "kept.json")
    names = sorted(path.name for path in folder.iterdir())
    for arguments in (
        ["check"],
        ["check", "--exit-zero"],
        ["baseline", "show"],
        ["baseline", "update"],
    ):
        ran = run(*arguments, cwd=folder)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert len(ran.stderr.splitlines()) == 1
        assert message in ran.stderr
    assert sorted(path.name for path in folder.iterdir()) == names


def test_a_baseline_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_baseline(tmp_path / "kept.json") is None


# -- updating


def test_an_improvement_is_taken_over_and_growth_is_refused() -> None:
    before = {"a": known(macs=10, params=10), "b": known(macs=10, params=10), "gone": known(macs=1)}
    now = {"a": known(macs=9, params=10), "b": known(macs=9, params=11), "new": known(macs=7)}
    found = updated(before, now, [])
    assert found.models == {"a": now["a"], "b": before["b"], "new": now["new"]}
    assert (found.refused, found.accepted) == (("b/params",), ())
    assert (found.added, found.removed, found.replaced) == (("new",), ("gone",), ())


@pytest.mark.parametrize(
    ("patterns", "refused", "unused"),
    [
        ([], ["m[width=0.5]/macs", "m[width=0.5]/params"], []),
        (["m[width=0.5]/macs"], ["m[width=0.5]/params"], []),
        (["m[width=0.5]/macs", "m[width=0.5]/params"], [], []),
        (["m*/macs", "*/params"], [], []),
        (["m*"], [], []),
        (["*"], [], []),
        (["m[width=0.5]"], [], []),  # a name takes all of a model,
        (["m"], [], []),  # and that of several entries all of them
        (["m[width=1.0]"], ["m[width=0.5]/macs", "m[width=0.5]/params"], ["m[width=1.0]"]),
        (["M*"], ["m[width=0.5]/macs", "m[width=0.5]/params"], ["M*"]),
        (["m*/weight_bytes", "m*"], [], ["m*/weight_bytes"]),
        (["m/macs"], ["m[width=0.5]/macs", "m[width=0.5]/params"], ["m/macs"]),
    ],
)
def test_growth_is_taken_over_where_all_of_it_is_accepted(
    patterns: list[str], refused: list[str], unused: list[str]
) -> None:
    name = "m[width=0.5]"
    before, now = (
        {name: known(macs=1, params=1, weight_bytes=4)},
        {name: known(macs=2, params=2, weight_bytes=4)},
    )
    found = updated(before, now, patterns)
    assert found.refused == tuple(refused)
    assert found.models == (before if refused else now)
    assert found.accepted == (
        () if refused else (f"{name}/macs", f"{name}/params")
    )  # nothing that was not taken
    assert found.unused == tuple(unused)


@pytest.mark.parametrize(
    ("patterns", "taken", "unused"),
    [
        ([], False, []),
        (["m"], True, []),
        (["m/*"], True, []),
        (["*"], True, []),
        (["*/*"], True, []),
        (["m/macs"], False, ["m/macs"]),  # which is about growth
        (["*/macs"], False, ["*/macs"]),
        (["n"], False, ["n"]),
    ],
)
def test_figures_of_something_else_are_taken_over_only_where_the_model_is_accepted(
    patterns: list[str], taken: bool, unused: list[str]
) -> None:
    other = {**FINGERPRINT, "input": "1x3x16x16 float32", "settings": "width=0.5"}
    before, now = {"m": known(macs=4)}, {"m": known(other, macs=1)}
    found = updated(before, now, patterns)
    assert found.models == (now if taken else before)
    assert (found.replaced, found.refused, found.accepted) == (("m",) if taken else (), (), ())
    differences = [
        "input was 1x3x8x8 float32, is 1x3x16x16 float32",
        "settings was none, is width=0.5",
    ]
    assert found.changed == ({} if taken else {"m": differences})
    assert found.unused == tuple(unused)


def test_entries_that_were_not_counted_stay_as_they_are() -> None:
    before = {"a": known(macs=1), "b": known(macs=2), "c": known(macs=3)}
    found = updated(before, {"b": known(macs=1)}, [], keep=["a", "never"])
    assert found.models == {"a": before["a"], "b": known(macs=1)}
    assert (found.removed, found.added) == (("c",), ())


LINEAR = Kind("Linear", "linear")


def of_layers(**macs: int) -> Known:
    """Return figures of layers that are all linear, and of all of them."""
    layers = {(name, "macs"): Fraction(value) for name, value in macs.items()}
    return known(macs=sum(macs.values()))._replace(layers=layers, kinds=dict.fromkeys(macs, LINEAR))


@pytest.mark.parametrize(
    ("before", "now", "shifted"),
    [
        (of_layers(a=10, b=10), of_layers(a=15, b=5), ["a/macs"]),
        (of_layers(a=10, b=10), of_layers(a=11, b=5), ["a/macs"]),
        (of_layers(a=10, b=10), of_layers(a=10, b=10), []),
        (of_layers(a=10, b=10), of_layers(a=9, b=10), []),
        (of_layers(a=10, b=20), of_layers(x=10, b=20), []),  # by another name
        (of_layers(a=10, b=20), of_layers(x=20, y=10), []),
        (of_layers(a=10, b=20), of_layers(new=25), []),  # another layer altogether
    ],
)
def test_layers_that_grow_while_the_whole_does_not_are_told(
    before: Known, now: Known, shifted: list[str]
) -> None:
    found = updated({"m": before}, {"m": now}, [])
    assert found.models == {"m": now}
    assert found.shifted == ({"m": shifted} if shifted else {})


def test_growth_that_was_accepted_is_not_told_twice() -> None:
    found = updated({"m": of_layers(a=10)}, {"m": of_layers(a=11)}, ["*"])
    assert (found.accepted, found.shifted) == (("m/macs",), {})


# -- layers under another name


def test_a_layer_is_renamed_where_kind_and_figures_are_the_same() -> None:
    before = of_layers(a=10, b=20, c=30, d=5)
    now = of_layers(c=30, x=10, y=21, z=5)
    now = now._replace(kinds={**now.kinds, "z": Kind("Bilinear", "linear")})
    assert renamed_layers(before, now) == {"x": "a"}
    assert renamed_layers(before._replace(kinds={}), now) == {}


def test_of_layers_that_are_alike_each_is_one_of_the_others() -> None:
    assert renamed_layers(of_layers(a=1, b=1), of_layers(x=1, y=1, z=1)) == {"x": "a", "y": "b"}
    assert renamed_layers(of_layers(a=1, b=1, c=1), of_layers(x=1)) == {"x": "a"}


# -- the first version


def test_the_first_version_is_read_and_becomes_the_second_by_an_update(folder: Path) -> None:
    run("baseline", "save", cwd=folder)
    second = (folder / "kept.json").read_bytes()
    document = json.loads(second)
    for model in document["models"].values():
        model["layers"] = {
            key: value for key, value in model["layers"].items() if not key.endswith("/kind")
        }
    (folder / "kept.json").write_text(
        json.dumps({**document, "version": 1}, indent=2, sort_keys=True) + "\n"
    )
    assert all(
        not one.kinds and one.members(parse_selector("type:Conv2d")) is None
        for one in kept(folder).values()
    )
    assert kept(folder)["net.yaml"].members(parse_selector("st*")) == ["stem"]
    assert run("check", "--strict", cwd=folder).returncode == 0
    group = "layers: [{match: 'type:Conv2d', total: {macs: {max_increase: 0%}}}]"
    (folder / "dscost.yaml").write_text(BUDGET.replace("net.yaml,", f"net.yaml, {group},"))
    assert (
        "type:Conv2d: not comparable with the baseline: it does not say"
        in run("check", cwd=folder).stdout
    )
    ran = run("baseline", "update", cwd=folder)
    assert (ran.returncode, ran.stderr) == (0, "wrote kept.json\n")
    assert (folder / "kept.json").read_bytes() == second
    assert run("check", "--strict", cwd=folder).returncode == 0


def test_a_figure_that_is_known_now_and_was_not_is_no_growth() -> None:
    found = updated({"m": known(macs=1)}, {"m": known(macs=1, peak_activation_bytes=9)}, [])
    assert (found.refused, found.models) == ((), {"m": known(macs=1, peak_activation_bytes=9)})


@law
@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)),
)
def test_an_update_never_lets_a_figure_grow_and_a_second_one_changes_nothing(
    before: dict[str, int], now: dict[str, int]
) -> None:
    old, new = ({name: known(macs=value) for name, value in one.items()} for one in (before, now))
    found = updated(old, new, [])
    assert {name: int(one.figures["macs"]) for name, one in found.models.items()} == {
        name: min(value, before.get(name, value)) for name, value in now.items()
    }
    assert updated(found.models, new, []).models == found.models


# -- the command


def test_save_writes_the_file_anew_and_update_only_what_has_changed(folder: Path) -> None:
    only = ("--model", "net.yaml")
    assert run("baseline", "save", *only, cwd=folder).returncode == 0
    text = (folder / "kept.json").read_text()
    otherwise = json.dumps(json.loads(text))
    (folder / "kept.json").write_text(otherwise)
    assert run("baseline", "update", *only, cwd=folder).stderr == ""
    assert (folder / "kept.json").read_text() == otherwise != text
    assert run("baseline", "save", *only, cwd=folder).stderr == "wrote kept.json: 1 model\n"
    assert (folder / "kept.json").read_text() == text


def test_update_takes_improvements_and_needs_a_word_for_growth(folder: Path) -> None:
    ran = run("baseline", "update", cwd=folder)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "added: resnet18, net.yaml" in ran.stderr
    first = (folder / "kept.json").read_bytes()

    unchanged = run("baseline", "update", cwd=folder)
    assert (unchanged.returncode, unchanged.stdout, unchanged.stderr) == (0, "", "")

    network(folder, 3)
    better = run("baseline", "update", cwd=folder)
    assert better.returncode == 0
    assert kept(folder)["net.yaml"].figures["macs"] == net_macs(3)

    network(folder, 4)
    worse = run("baseline", "update", "-q", cwd=folder)
    assert (worse.returncode, worse.stdout) == (1, "")
    hints = worse.stderr.splitlines()
    command = "dscost baseline update --accept net.yaml"
    figures = (
        "activations, macs, output_bytes, params, "
        "peak_activation_bytes, traffic_bytes, weight_bytes"
    )
    assert hints == [f"net.yaml grew in {figures}: {command} takes it over"]
    assert kept(folder)["net.yaml"].figures["macs"] == net_macs(3)

    some = run("baseline", "update", "--accept", "net.yaml/macs", cwd=folder)
    assert some.returncode == 1
    assert some.stderr.startswith(f"net.yaml grew in {figures.replace('macs, ', '')}: ")

    accepted = run(*command.split()[1:], cwd=folder)
    assert accepted.returncode == 0
    assert "accepted: " in accepted.stderr
    assert (folder / "kept.json").read_bytes() == first

    network(folder, 5)
    assert run("baseline", "update", "--accept", "nothing*", cwd=folder).stderr.startswith(
        "nothing to accept matches nothing*\n"
    )
    assert run("baseline", "update", "--accept", "net*", cwd=folder).returncode == 0
    assert kept(folder)["net.yaml"].figures["macs"] == net_macs(5)


def test_update_drops_what_the_budget_names_no_more_and_needs_a_word_for_what_is_not_comparable(
    folder: Path,
) -> None:
    run("baseline", "save", cwd=folder)
    (folder / "dscost.yaml").write_text(
        "version: 1\nbaseline: kept.json\nmodels:\n  - {target: net.yaml, input: [1, 3, 16, 16]}\n"
    )
    refused = run("baseline", "update", "-q", cwd=folder)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "net.yaml: input was 1x3x8x8 float32, is 1x3x16x16 float32: "
        "dscost baseline update --accept net.yaml takes it over\n"
    )
    assert {name: one.figures["macs"] for name, one in kept(folder).items()} == {
        "net.yaml": net_macs(4)
    }
    run("baseline", "save", "--config", "dscost.yaml", cwd=folder)
    (folder / "dscost.yaml").write_text(BUDGET)
    assert run("baseline", "save", cwd=folder).returncode == 0
    (folder / "dscost.yaml").write_text(
        "version: 1\nbaseline: kept.json\nmodels:\n  - {target: net.yaml, input: [1, 3, 16, 16]}\n"
    )
    ran = run("baseline", "update", "--accept", "net.yaml", cwd=folder)
    assert ran.returncode == 0
    assert "removed: resnet18\n" in ran.stderr
    assert "not comparable, replaced: net.yaml\n" in ran.stderr
    assert {name: one.figures["macs"] for name, one in kept(folder).items()} == {
        "net.yaml": 4 * net_macs(4)
    }


def test_layers_that_grow_in_the_shade_of_others_are_told_unless_quiet(folder: Path) -> None:
    def two(first: int, second: int) -> None:
        (folder / "net.yaml").write_text(
            "input: [3, 8, 8]\nlayers:\n"
            f"  - {{conv: 3, out_channels: {first}, bias: false, name: one}}\n"
            f"  - {{conv: 1, out_channels: {second}, bias: false, name: two}}\n"
        )

    two(4, 40)
    run("baseline", "save", cwd=folder)
    two(5, 8)  # 5 * 27 + 5 * 8 weights instead of 4 * 27 + 4 * 40
    ran = run("baseline", "update", cwd=folder)
    assert ran.returncode == 0
    assert "net.yaml: no more in total, though layers grew: one/params, one/macs\n" in ran.stderr
    two(6, 2)
    assert (run("baseline", "update", "-q", cwd=folder).stderr, kept(folder)["net.yaml"].figures["params"]) == (
        "", 6 * 27 + 6 * 2,
    )  # fmt: skip


# -- some of the models


def test_one_model_alone_is_saved_updated_and_shown(folder: Path) -> None:
    assert (
        run("baseline", "save", "--model", "net.yaml", cwd=folder).stderr
        == "wrote kept.json: 1 model\n"
    )
    assert set(kept(folder)) == {"net.yaml"}
    assert run("baseline", "update", "--model", "resnet18", cwd=folder).returncode == 0
    both = dict(kept(folder))
    assert set(both) == {"net.yaml", "resnet18"}
    network(folder, 9)
    unchanged = run("baseline", "update", "--model", "resnet18", cwd=folder)
    assert (unchanged.returncode, unchanged.stderr) == (0, "")
    assert dict(kept(folder)) == both
    run("baseline", "save", "--model", "net.yaml", cwd=folder)
    assert kept(folder)["net.yaml"].figures["macs"] == net_macs(9)
    assert kept(folder)["resnet18"] == both["resnet18"]
    shown = run("baseline", "show", "--model", "resnet18", cwd=folder).stdout
    assert "resnet18: " in shown
    assert "net.yaml" not in shown
    (folder / "dscost.yaml").write_text(BUDGET.partition("  - {target: net")[0])
    assert (
        "removed" not in run("baseline", "update", "--model", "resnet18", cwd=folder).stderr
    )  # nothing was said of it
    assert set(kept(folder)) == {"net.yaml", "resnet18"}


def test_all_entries_of_a_matrix_are_meant_by_its_name(folder: Path) -> None:
    (folder / "dscost.yaml").write_text(
        "version: 1\nbaseline: kept.json\nmodels:\n"
        "  - {name: m, target: mobilenet_v1, matrix: {width: [0.25, 0.5]}}\n  - {target: net.yaml}\n"
    )
    run("baseline", "save", "-q", "--model", "m", cwd=folder)
    assert set(kept(folder)) == {"m[width=0.25]", "m[width=0.5]"}
    shown = run("baseline", "show", "--model", "m[width=0.5]", cwd=folder).stdout
    assert "m[width=0.5]: " in shown
    assert "m[width=0.25]" not in shown


# -- models that cannot be counted


@pytest.mark.parametrize(
    ("level", "code", "told"),
    [("error", 1, "error: "), ("warn", 0, "warning: "), ("ignore", 0, None)],
)
@pytest.mark.parametrize("action", ["save", "update"])
def test_a_model_that_cannot_be_counted_stays_as_it_was_where_the_policy_lets_it(
    action: str, level: str, code: int, told: str | None, folder: Path
) -> None:
    budget = BUDGET.replace("resnet18, limits", "small.yaml, limits")
    (folder / "dscost.yaml").write_text(f"{budget}policy: {{on_unloadable_model: {level}}}\n")
    (folder / "small.yaml").write_text((folder / "net.yaml").read_text())
    run("baseline", "save", cwd=folder)
    before = kept(folder)["net.yaml"]
    (folder / "net.yaml").write_text("layers: 5\n")
    (folder / "small.yaml").write_text(
        (folder / "small.yaml").read_text().replace("out_channels: 4", "out_channels: 3")
    )
    ran = start("baseline", action, "-q", cwd=folder)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert kept(folder)["net.yaml"] == before
    assert kept(folder)["small.yaml"].figures["macs"] == net_macs(3)
    if told is None:
        assert ran.stderr == ""
    else:
        assert ran.stderr.startswith(f"{told}dscost.yaml:5: net.yaml: ")


@pytest.mark.torch
@pytest.mark.usefixtures("forked_workers")
def test_what_a_model_prints_is_no_result(folder: Path) -> None:
    (folder / "dscost.yaml").write_text(
        "version: 1\nbaseline: kept.json\nmodels: [{target: net.py:make, input: [1, 3, 8, 8]}]\n"
    )
    (folder / "net.py").write_text(
        "import torch\ndef make():\n    print('loud')\n    return torch.nn.Conv2d(3, 4, 3)\n"
    )
    for action in ("save", "update"):
        ran = forked("baseline", action, "-q", cwd=folder)
        assert (ran.returncode, ran.stdout) == (0, "")
        assert "loud" in ran.stderr


def test_show_prints_every_figure_exactly(folder: Path) -> None:
    missing = run("baseline", "show", cwd=folder)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.endswith("kept.json: dscost baseline save writes it\n")
    run("baseline", "save", cwd=folder)
    ran = run("baseline", "show", cwd=folder)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "resnet18: counting 1, input 1x3x224x224 float32, target resnet18\n" in ran.stdout
    assert "  macs 1,814,073,344 (1.814G)\n" in ran.stdout
    assert "  weight_bytes 46,758,048 (44.59 MiB)\n" in ran.stdout


def test_save_writes_growth_without_a_word_and_all_or_nothing(folder: Path) -> None:
    run("baseline", "save", cwd=folder)
    network(folder, 9)
    assert run("baseline", "save", cwd=folder).returncode == 0
    assert kept(folder)["net.yaml"].figures["macs"] == net_macs(9)
    before = (folder / "kept.json").read_bytes()
    (folder / "net.yaml").write_text("layers: 5\n")
    for action in ("save", "update"):
        ran = run("baseline", action, cwd=folder)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "dscost.yaml:5: net.yaml: " in ran.stderr
        assert (folder / "kept.json").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == [
        "dscost.yaml",
        "kept.json",
        "net.yaml",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("package.json", '{"name": "x"}\n', "package.json: not a baseline of dscost: "),
        ("kept.json", "<<<<<<< HEAD\n{}\n", "kept.json:1:1: unresolved merge, line 1 to 1: "),
        ("dscost.yaml", BUDGET.replace("kept.json", "dscost.yaml"), "dscost.yaml:1:1: not JSON: "),
    ],
    ids=["another file", "half of a merge", "the budget itself"],
)
def test_save_does_not_overwrite_what_is_no_baseline(
    name: str, text: str, message: str, folder: Path
) -> None:
    (folder / "dscost.yaml").write_text(BUDGET.replace("kept.json", name))
    (folder / name).write_text(text)
    ran = run("baseline", "save", cwd=folder)
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)
    assert message in ran.stderr
    assert "; remove it first if it is to be overwritten\n" in ran.stderr
    assert (folder / name).read_text() == text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_folder_that_cannot_be_written_leaves_the_baseline_as_it_was(folder: Path) -> None:
    run("baseline", "save", cwd=folder)
    before = (folder / "kept.json").read_bytes()
    network(folder, 9)
    folder.chmod(0o500)
    try:
        ran = run("baseline", "save", cwd=folder)
    finally:
        folder.chmod(0o700)
    assert ran.returncode == 2
    assert "cannot write" in ran.stderr
    assert (folder / "kept.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["saev"], "unknown action 'saev' (did you mean 'save'?)"),
        (["save", "--accept", "x"], "--accept has no meaning for baseline save"),
        (["show", "--accept", "x"], "--accept has no meaning for baseline show"),
        (["save", "no.yaml"], "cannot read no.yaml: No such file or directory"),
        (["save", "plain.yaml"], "plain.yaml: names no baseline; add 'baseline: dscost-baseline.json'"),
        (["save", "far.yaml"], "cannot write no/such/kept.json: No such file or directory"),
        (["save", "dscost.yaml", "--config", "dscost.yaml"],
         "name the budget once: as the argument or by --config"),
        (["save", "--model", "resnet81"],
         "unknown model of the budget 'resnet81' (did you mean 'resnet18'?)"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_2(arguments: list[str], message: str, folder: Path) -> None:
    (folder / "plain.yaml").write_text("version: 1\nmodels: [{target: resnet18}]\n")
    (folder / "far.yaml").write_text(
        "version: 1\nbaseline: no/such/kept.json\nmodels: [{target: resnet18}]\n"
    )
    ran = run("baseline", *arguments, cwd=folder)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"dscost: {message}\n")


def test_a_fingerprint_holds_what_an_object_is_made_with() -> None:
    inner = Reference("net", "Inner", parts={"depth": 2})
    config = Reference("net", "Config", parts={"width": 16, "inner": inner})
    entry = Entry(
        "m",
        "net.py:make",
        kwargs={"config": config, "act": Reference("torch.nn", "ReLU"), "bias": None},
    )
    report = layer(in_channels=3, out_channels=4, kernel_size=3)
    assert fingerprint_of(entry, report)["settings"] == (
        "act=torch.nn:ReLU, bias=None, config=net:Config(inner=net:Inner(depth=2), width=16)"
    )


# -- from Python


def test_from_python_a_baseline_is_saved_shown_and_updated_as_by_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    saved = dscost.save_baseline()
    by_python = (folder / "kept.json").read_bytes()
    assert (saved.exit_code, saved.is_written, saved.counted) == (0, True, ("resnet18", "net.yaml"))
    assert str(saved) == "wrote kept.json: 2 models"
    run("baseline", "save", cwd=folder)
    assert (folder / "kept.json").read_bytes() == by_python
    shown = dscost.baseline("dscost.yaml")
    assert shown.models["net.yaml"].figures["macs"] == net_macs(4)
    assert f"{shown}\n" == run("baseline", "show", cwd=folder).stdout
    assert shown.to_dict() == json.loads(by_python)
    assert repr(shown) == "<Baseline kept.json: 2 models>"
    assert list(dscost.baseline(only=["net.yaml"]).models) == ["net.yaml"]


def test_from_python_growth_is_taken_over_only_where_it_is_accepted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    dscost.save_baseline()
    network(folder, 5)
    refused = dscost.update_baseline()
    assert (refused.exit_code, refused.is_written) == (1, False)
    assert "net.yaml/macs" in refused.update.refused
    assert repr(refused) == "<Kept kept.json: 2 models, not all taken over>"
    assert str(refused).endswith(": dscost baseline update --accept net.yaml takes it over")
    assert dscost.baseline().models["net.yaml"].figures["macs"] == net_macs(4)
    taken = dscost.update_baseline(accept=["net.yaml/*"])
    assert (taken.exit_code, taken.is_written) == (0, True)
    assert dscost.baseline().models["net.yaml"].figures["macs"] == net_macs(5)
    assert str(dscost.update_baseline()) == "Nothing has changed."


def test_from_python_what_was_not_kept_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=r"there is no baseline at kept\.json"):
        dscost.baseline()
    dscost.save_baseline()
    dscost.baseline().save("kept.csv")
    lines = (folder / "kept.csv").read_text().splitlines()
    assert lines[0] == "model,metric,value"
    assert f"net.yaml,macs,{net_macs(4)}" in lines
    dscost.update_baseline().save("done.json")
    assert json.loads((folder / "done.json").read_text())["counted"] == ["resnet18", "net.yaml"]
