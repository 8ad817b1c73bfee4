import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

import dscost
from dscost.analysis import Request
from dscost.converting.convert import convert_target
from dscost.converting.plan_file import KEEP, Plan, plan_in, plan_of, plan_text, read_plan
from dscost.errors import FileProblems, InputError
from dscost.notation.inputs import TensorSpec
from dscost.notation.marked_yaml import Problems, parse_yaml
from dscost.schemas import schema

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
RANKS = st.integers(1, 10**6)
DECISIONS = st.one_of(st.just(KEEP), RANKS, RANKS.map("{} pointwise-first".format))


def parse_plan(text: str, name: str) -> Plan:
    problems = Problems()
    return plan_in(parse_yaml(text, name, problems), name, problems)


def test_a_plan_is_written_to_be_read_and_edited() -> None:
    plan = Plan(
        {"conv1": KEEP, "layer1.0.conv1": 2},
        "net.yaml:small",
        (TensorSpec((1, 3, 32, 32)),),
        "macs=0.5x",
    )
    text = plan_text(
        plan,
        figures={"layer1.0.conv1": "error 0.31, 115.6M → 54.3M MACs"},
        head=["total error 0.22"],
    )
    assert text.splitlines() == [
        "# total error 0.22",
        "version: 1",
        "target: net.yaml:small",
        "input: 1,3,32,32",
        "goal: macs=0.5x",
        "layers:  # the rank that a layer is converted to, or keep",
        "  conv1: keep",
        "  layer1.0.conv1: 2  # error 0.31, 115.6M → 54.3M MACs",
    ]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            "a b",
            "a: b",
            "a:",
            "#1",
            "x #y",
            "010",
            "1",
            "true",
            "null",
            "~",
            "keep",
            "-",
            "- a",
            "?",
            ",",
        ),
        *(
            "*a",
            "&a",
            "!a",
            "%",
            "@",
            "'",
            '"',
            "\\",
            "{}",
            "[",
            "a\nb",
            "\t",
            "\x7f",
            "\x85",
            "\u2028",
            "a\u00a0",
        ),
        *("é", "層", "😀", "a" * 3000),
    ],
    ids=ascii,
)
def test_names_with_odd_characters_survive(name: str) -> None:
    plan = Plan({name: 3, "other": KEEP}, target=name or "t")
    text = plan_text(plan, figures={name: f"# {name}"}, head=[name])
    if name.strip():
        assert parse_plan(text, "plan.yaml") == plan
    assert parse_plan(plan_text(Plan(plan.layers)), "plan.yaml") == Plan(plan.layers)


@given(st.dictionaries(NAMES, DECISIONS, max_size=5), NAMES)
def test_any_plan_survives_being_written_and_read(layers: dict[str, int], comment: str) -> None:
    inputs = (TensorSpec((2, 3, 8, 8)), TensorSpec((1, 5), "int64", "ids"))
    plan = Plan(layers, "resnet18", inputs, "error=0.3")
    read = parse_plan(
        plan_text(plan, figures=dict.fromkeys(layers, comment), head=[comment]), "plan.yaml"
    )
    assert (read.layers, read.target, read.inputs, read.goal) == (
        layers,
        "resnet18",
        inputs,
        "error=0.3",
    )
    assert list(read.layers) == list(layers)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["1:1: the file is empty"]),
        (
            "[1]",
            [
                "1:1: expected a plan with version, target, input, goal, runtime, layers, found a list"
            ],
        ),
        ("version: 1", ["1:1: missing key 'layers'"]),
        (
            "version: 2\nlayer: {}\nlayers: {}",
            [
                "1:10: expected version 1, found 2",
                "2:1: unknown key 'layer' (did you mean 'layers'?)",
            ],
        ),
        (
            "version: 1\nlayers:\n  a: 0\n  b: 1.5\n  c: true\n  d:\n  e: Keep\n  f: [2]\n  g: -1\n  a: 2\n",
            [
                "3:6: 'a': expected a rank such as 2 or '2 pointwise-first', or keep, found 0",
                "4:6: 'b': expected a rank such as 2 or '2 pointwise-first', or keep, found 1.5",
                "5:6: 'c': expected a rank such as 2 or '2 pointwise-first', or keep, found true",
                "6:5: 'd': expected a rank such as 2 or '2 pointwise-first', or keep, found nothing",
                "7:6: 'e': expected a rank such as 2 or '2 pointwise-first', or keep, found \"Keep\"",
                "8:6: 'f': expected a rank such as 2 or '2 pointwise-first', or keep, found [2]",
                "9:6: 'g': expected a rank such as 2 or '2 pointwise-first', or keep, found -1",
                "10:3: duplicate key 'a' (first on line 3)",
            ],
        ),
        (
            "version: 1\nlayers:\n  a: 0 pointwise-first\n  b: 2 pointwise\n  c: '2'\n  d: keep pointwise-first\n",
            [
                f"{line}:6: '{name}': expected a rank such as 2 or '2 pointwise-first', or keep, found \"{found}\""
                for line, name, found in (
                    (3, "a", "0 pointwise-first"),
                    (4, "b", "2 pointwise"),
                    (5, "c", "2"),
                    (6, "d", "keep pointwise-first"),
                )
            ],
        ),
        (
            "version: 1\nlayers: [conv1]",
            ["2:9: expected ranks by layer, such as {conv1: 2}, found a list"],
        ),
        (
            "version: 1\ntarget: 3\ngoal: ' '\ninput: 1;3\nlayers: {}",
            [
                "2:9: expected text, found a number",
                "3:7: expected text, found nothing",
                "4:8: expected something like 1,3,224,224 or ids=1,128:int64, found '1;3'",
            ],
        ),
        ("version: 1\nlayers: {a: 1]", ["2:14: not valid YAML"]),
        (
            "version: 1\nlayers: {}\ninput: [1, 3, -1, 8]",
            ["3:8: an input cannot have a negative size, found '1,3,-1,8'"],
        ),
    ],
)
def test_what_is_wrong_with_a_plan_is_told_all_at_once_and_where(
    text: str, problems: list[str]
) -> None:
    with pytest.raises(FileProblems) as found:
        parse_plan(text, "plan.yaml")
    lines = str(found.value).splitlines()
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        assert line.startswith(f"plan.yaml:{problem}")


def test_layers_that_are_not_there_or_cannot_be_converted_are_told_with_their_places() -> None:
    plan = parse_plan(
        "version: 1\nlayers:\n  layr1: 2\n  conv1: 2\n  pw: 3\n  fc: keep\n", "plan.yaml"
    )
    with pytest.raises(FileProblems) as found:
        plan.check(
            {"layer1": None, "conv1": None, "pw": "it is pointwise", "fc": "it is no convolution"},
            {},
        )
    assert str(found.value).splitlines() == [
        "plan.yaml:3:3: unknown layer 'layr1' (did you mean 'layer1'?)",
        "plan.yaml:5:3: 'pw' cannot be converted: it is pointwise",
    ]


def test_a_layer_that_is_no_convolution_is_not_unknown() -> None:
    with pytest.raises(InputError) as found:
        plan_of({"fc": 2, "": 1, "fd": 1}).check(
            {"conv1": None}, {"fc": "Linear", "conv1": "Conv2d", "": "Net"}
        )
    assert str(found.value).splitlines() == [
        "plan: 'fc' is no convolution (class Linear)",
        "plan: (root) is no convolution (class Net)",
        "plan: unknown layer 'fd' (known: conv1)",
    ]


def test_the_order_of_a_layer_is_said_where_it_is_not_the_usual_one() -> None:
    plan = parse_plan(
        "version: 1\nlayers: {a: 2, b: 2 depthwise-first, c: 3 pointwise-first, d: keep}\n",
        "plan.yaml",
    )
    assert dict(plan.layers) == {"a": 2, "b": 2, "c": "3 pointwise-first", "d": KEEP}
    assert plan.ranks == {"a": 2, "b": 2, "c": 3}
    usual = "depthwise-first"
    assert plan.orders == {"a": usual, "b": usual, "c": "pointwise-first"}
    assert plan_text(plan).splitlines()[2:] == [
        *("  a: 2", "  b: 2", "  c: 3 pointwise-first", "  d: keep")
    ]
    assert plan_of({"b": "2 depthwise-first"}) == Plan({"b": 2})
    with pytest.raises(
        InputError, match=r"^plan: 'a': expected a rank such as 2 or .*, found \"2 best\"$"
    ):
        plan_of({"a": "2 best"})


@pytest.mark.parametrize(
    ("decision", "is_one"),
    [
        *((good, True) for good in (1, 20, KEEP, "1 pointwise-first", "12 depthwise-first")),
        *((bad, False) for bad in (0, -1, 1.5, True, None, "2", "Keep", "pointwise-first")),
        *(
            (bad, False)
            for bad in ("02 pointwise-first", "2 best", "2pointwise-first", "٢ pointwise-first")
        ),
    ],
    ids=str,
)
def test_schema_and_plan_agree_on_what_a_decision_is(decision: Any, is_one: bool) -> None:
    document = {"version": 1, "layers": {"a": decision}}
    assert Draft7Validator(schema("plan")).is_valid(document) is is_one
    if is_one:
        assert Plan({"a": decision}).forms.keys() == ({"a"} if decision != KEEP else set())
    else:
        with pytest.raises(InputError, match=r"^plan: 'a': expected a rank such as 2 or"):
            Plan({"a": decision})


def test_a_plan_from_python_has_no_places() -> None:
    with pytest.raises(InputError, match=r"^plan: unknown layer 'x' \(known: conv1, pw\)$"):
        plan_of({"x": 1}).check({"conv1": None, "pw": "pointwise"}, {})
    with pytest.raises(
        InputError,
        match=r"^plan: 'a': expected a rank such as 2 or '2 pointwise-first', or keep, found 0$",
    ):
        plan_of({"a": 0})
    Plan({"conv1": 1, "pw": KEEP}).check({"conv1": None, "pw": "pointwise"}, {})


def test_what_a_model_does_not_take_of_a_plan_has_its_place(tmp_path: Path) -> None:
    network, path = tmp_path / "net.yaml", tmp_path / "plan.yaml"
    network.write_text("input: [8, 9, 9]\nlayers: [{conv: 3, out_channels: 8}]\n")
    path.write_text("version: 1\nlayers: {}\ninput: [1, 8, 9]\n")
    message = f"input must be batch, channels, height and width, found 1×8×9 (its input is that of {path}:3:8)"
    for convert in (convert_target, dscost.convert):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            convert(network, plan=path)  # type: ignore[operator]
    with pytest.raises(InputError, match=r"found 1×8$"):
        convert_target(network, Request((1, 8)), plan=path)
    with pytest.raises(InputError, match=r"^cannot read .*no\.yaml: No such file or directory$"):
        convert_target(tmp_path / "no.yaml", plan=path)


def test_a_plan_may_be_given_as_a_path(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("version: 1\ninput: [1, 3, 8, 8]\nlayers: {conv1: 2, conv2: keep}\n")
    plan = read_plan(path)
    assert plan_of(str(path)) == plan_of(path) == plan_of(plan) == plan
    assert (plan.ranks, plan.inputs) == ({"conv1": 2}, (TensorSpec((1, 3, 8, 8)),))
    with pytest.raises(InputError, match="cannot read"):
        plan_of(tmp_path / "missing.yaml")
