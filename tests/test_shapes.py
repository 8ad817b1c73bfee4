"""What the language does across layers: names, repeats, every mistake at its place, what is not guessed after one."""

import re
from pathlib import Path
from typing import Any

import pytest

from dscost.configs import config_folder
from dscost.errors import FileProblems, InputError, Problem
from dscost.networks.architectures import (
    Architecture,
    build,
    builtin_names,
    find_builtin,
    read_architecture,
)
from dscost.networks.expressions import UNKNOWN, Expression, UnknownValue
from dscost.networks.language import parse_architecture
from dscost.networks.network import Operation
from dscost.notation.marked_yaml import Problems, parse_yaml, read_yaml

SHAPE = (1, 3, 16, 16)


def unrolled(
    text: str, shape: tuple[int, ...] | None = SHAPE, **overrides: Any
) -> tuple[Operation, ...]:
    problems = Problems()
    file = parse_architecture(parse_yaml(text, "net.yaml", problems), "net.yaml", problems)
    return build(
        Architecture("net", file, file.settings), overrides=overrides, shape=shape
    ).operations


def problems_of(text: str, shape: tuple[int, ...] | None = SHAPE, **overrides: Any) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        unrolled(text, shape, **overrides)
    return [line.removeprefix("net.yaml:") for line in str(caught.value).split("\n")]


def blamed(text: str, shape: tuple[int, ...] | None = SHAPE) -> list[str]:
    """Return `what → why` for every problem: what stands at its place, and its message."""
    found = []
    for problem in problems_of(text, shape):
        line, column, message = problem.split(":", 2)
        rest = text.split("\n")[int(line) - 1][int(column) - 1 :]
        found.append(f"{re.split('[],:}]', rest)[0].strip()} →{message}")
    return found


def out_channels_of(text: str, **overrides: Any) -> list[int]:
    return [operation.output_shape[1] for operation in unrolled(text, **overrides)]


# -- names


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        pytest.param("{residual: [{act: tanh}], act: relu}, {residual: [{act: tanh}], act: relu}",
                     ["act1", "add1", "add1_act", "act2", "add2", "add2_act"], id="activations"),
        pytest.param("{residual: [flatten], shortcut: [flatten]}, {residual: [{act: relu}], shortcut: [{act: relu}]}",
                     ["flatten1", "shortcut1.flatten1", "add1", "act1", "shortcut2.act1", "add2"], id="shortcuts"),
        pytest.param("{residual: [{act: silu}], name: sum, act: relu}, "
                     "{residual: [{act: silu}], shortcut: [{act: silu}]}",
                     ["act1", "sum", "sum_act", "act2", "shortcut2.act1", "add2"], id="a name names the sum"),
        pytest.param("{residual: [{residual: [{act: relu}], act: relu}], act: relu}",
                     ["act1", "add1", "add1_act", "add2", "add2_act"], id="one in the other"),
        pytest.param("{residual: [{act: relu}], shortcut: [{residual: [{act: relu}]}]}",
                     ["act1", "shortcut1.act1", "shortcut1.add1", "add1"], id="one in the shortcut of the other"),
        pytest.param("{residual: [{act: tanh}], skip_when: false, act: relu}, {residual: [{act: tanh}], act: relu}",
                     ["act1", "add1_act", "act2", "add2", "add2_act"], id="one without its sum"),
    ],
)  # fmt: skip
def test_every_residual_has_names_of_its_own(layers: str, names: list[str]) -> None:
    assert [operation.name for operation in unrolled(f"layers: [{layers}]")] == names


@pytest.mark.parametrize("name", builtin_names())
def test_no_layer_of_a_builtin_is_called_like_a_group_of_layers(name: str) -> None:
    names = [operation.name for operation in build(find_builtin(name), overrides={}).operations]
    assert len(set(names)) == len(names)
    assert [other for other in names if any(other.startswith(f"{name}.") for name in names)] == []


@pytest.mark.parametrize(
    ("layers", "place"),
    [
        pytest.param("{act: relu, name: b1}, {block: b}", "{act", id="a layer, then a block"),
        pytest.param("{block: b}, {act: relu, name: b1}", "{act", id="a block, then a layer"),
        pytest.param(
            "{squeeze_excite: 1, name: b1}, {act: relu, name: b1}",
            "{act",
            id="a gate, then a layer",
        ),
        pytest.param(
            "{act: relu, name: b1}, {squeeze_excite: 1, name: b1}",
            "{squeeze_excite",
            id="a layer, then a gate",
        ),
    ],
)
def test_a_layer_cannot_be_called_like_a_group_of_layers(layers: str, place: str) -> None:
    text = f"blocks: {{b: {{layers: [{{act: relu}}]}}}}\nlayers: [{layers}]"
    assert blamed(text) == [f"{place} → a layer and a group of layers are called 'b1'"]


# -- repeats


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param("[{act: relu, when: false}]", id="nothing"),
        pytest.param("[{block: none_of_it, rows: [[1], [2]]}]", id="rows of nothing"),
        pytest.param(
            "[{residual: [{act: relu, when: false}], skip_when: false}]", id="a residual of nothing"
        ),
        pytest.param("[{conv: 1, out_channels: index - 1}]", id="a layer that cannot be"),
    ],
)
def test_repeats_without_end_are_refused_even_if_no_layer_comes_of_them(layers: str) -> None:
    text = f"""
blocks:
  none_of_it: {{columns: [n], repeat: 0, layers: [flatten]}}
  b: {{repeat: 1000000000000, layers: {layers}}}
layers: [flatten, {{block: b}}]
"""
    assert any(
        "more than 300,000 values to compute once blocks are repeated, refused" in p
        for p in problems_of(text)
    )


@pytest.mark.parametrize(
    ("repeat", "call", "place"),
    [
        ("-2", "{block: b, n: 1}", "-2"),
        ("n", "{block: b, n: -2}", "-2"),
        ("0 - n", "{block: b, n: 2}", "0 - n"),
    ],
)
def test_negative_repeats_are_refused(repeat: str, call: str, place: str) -> None:
    text = f"blocks: {{b: {{columns: [n], repeat: {repeat}, layers: [flatten]}}}}\nlayers: [{call}]"
    assert blamed(text) == [f"{place} → repeat must be at least 0, found -2"]


def test_two_blocks_that_contain_each_other_twice_are_refused_once() -> None:
    text = "blocks: {a: {layers: [{block: b}, {block: b}]}, b: {layers: [{block: a}, {block: a}]}}\nlayers: [{block: a}]"
    (problem,) = problems_of(text)
    assert "blocks nested deeper than 20 levels" in problem


# -- scopes


def test_in_channels_of_a_row_is_what_arrives_at_that_row() -> None:
    text = """
blocks: {b: {columns: [c], layers: [{conv: 1, out_channels: c}]}}
layers: [{block: b, rows: [[5], [in_channels * 2], [in_channels * 2], [block_in_channels]]}]
"""
    assert out_channels_of(text) == [5, 10, 20, 3]


def test_a_block_does_not_see_the_columns_of_the_block_around_it() -> None:
    text = """
settings: {c: 4}
blocks:
  inner: {layers: [{conv: 1, out_channels: c}]}
  outer: {columns: [c], layers: [{conv: 1, out_channels: c}, {block: inner}]}
layers: [{block: outer, c: 9}]
"""
    assert out_channels_of(text) == [9, 4]


def test_a_layer_whose_when_is_false_is_not_computed() -> None:
    text = "settings: {k: 0}\nlayers: [{act: relu}, {conv: 1, out_channels: 8 // k, stride: k, when: k > 0}]"
    assert len(unrolled(text)) == 1
    assert len(unrolled(text, k=1)) == 2


def test_a_column_may_be_called_like_a_layer() -> None:
    text = "blocks: {b: {columns: [conv, norm], layers: [{conv: conv, out_channels: 8, norm: norm}]}}\n"
    assert len(unrolled(f"{text}layers: [{{block: b, conv: 3, norm: batch}}]")) == 2


def test_blocks_may_be_chosen_by_an_expression() -> None:
    text = """
settings: {wide: true, unit: a}
blocks: {a: {layers: [{conv: 1, out_channels: 4}]}, b: {columns: [u], layers: [{block: u}]}}
layers: [{block: a if wide else b}, {block: b, u: unit}, {block: b, rows: [[a]]}]
"""
    assert [operation.name for operation in unrolled(text)] == [
        "a1.conv1",
        "b1.a1.conv1",
        "b2.a1.conv1",
    ]


def test_an_expression_that_needs_an_unknown_value_has_none() -> None:
    scope = {"c": UNKNOWN, "s": 2}
    assert Expression("s if s > 1 else c")(scope) == 2
    with pytest.raises(UnknownValue):
        Expression("s * c")(scope)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 and 3", True), ("2 and 0", False), ("0 or 3", True), ("0 or none", False), ("relu or 0", True),
        ("2 and 3 and none", False), ("empty or 0", False), ("not 0", True), ("not relu", False), ("1 if 2 else 0", 1),
    ],
)  # fmt: skip
def test_and_or_and_not_give_true_or_false_whatever_they_join(text: str, value: object) -> None:
    assert Expression(text)({"relu": "relu", "none": None, "empty": []}) is value or value == 1


# -- every mistake at its place, all at once

KNOWN = "relu, relu6, silu, hard_swish, hard_sigmoid, sigmoid, gelu, tanh, softmax, none"


def test_mistakes_of_yaml_of_the_language_and_of_values_are_reported_together() -> None:
    assert blamed("""
settings: {width: 1, width: 2, index: 3}
layers:
  - {conv: 3, out_channels: 8, out_channels: 9, strid: 2}
  - {conv: 3, out_channels: !!int '8', stride: 0}
  - {conv: 0, out_channels: -4, padding: -1, groups: 2.5}
  - {depthwise: 3, depth_multiplier: none, dilation: [1, 0]}
  - {max_pool: [3], ceil_mode: 1, padding: same}
  - {dropout: 7}
  - {linear: batch, act: batch}
  - {squeeze_excite: 0, gate: 0}
  - {residual: [{global_pool: 0}], skip_when: 1}
  - {conv: 3, out_channels: 1 / 0}
  - {conv: .inf, out_channels: 1e999, stride: [1, -.inf], bias: !!bool 3}
layers: []
""") == [
        "width → duplicate key 'width' (first on line 2)",
        "index → 'index' cannot be the name of a setting",
        "out_channels → duplicate key 'out_channels' (first on line 4)",
        "strid → unknown key 'strid' (did you mean 'stride'?)",
        "!!int '8' → tags are not supported, found 'tag:yaml.org,2002:int'",
        "0 → stride must be at least 1, found 0",
        "0 → kernel_size must be at least 1, found 0",
        "-4 → out_channels must be at least 1, found -4",
        "-1 → padding must be at least 0, found -1",
        "2.5 → expected a whole number, found 2.5",
        "none → expected a whole number, found nothing",
        "[1 → dilation must be at least 1, found 1×0",
        "[3 → expected a whole number or a pair of them, found [3]",
        "1 → ceil_mode must be true or false, found 1",
        "same → expected a whole number, found 'same'",
        "7 → dropout must be at least 0 and below 1, found 7.0",
        "batch → expected a whole number, found 'batch'",
        f"batch → unknown activation 'batch' (known: {KNOWN})",
        "0 → squeeze_excite must be at least 1, found 0",
        f"0 → unknown activation '0' (known: {KNOWN})",
        "0 → output_size must be at least 1, found 0",
        "1 → skip_when must be true or false, found 1",
        "1 / 0 → '1 / 0' cannot be computed: division by zero",
        ".inf → numbers must be finite, found .inf",
        "1e999 → numbers must be finite, found 1e999",
        "-.inf → numbers must be finite, found -.inf",
        "!!bool 3 → tags are not supported, found 'tag:yaml.org,2002:bool'",
        "layers → duplicate key 'layers' (first on line 3)",
    ]


def test_a_file_is_read_on_after_a_duplicate_key(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text("layers: [{act: relu, act: tanh}, flaten]", encoding="utf-8")
    with pytest.raises(FileProblems) as caught:
        read_architecture(path)
    assert len(caught.value.problems) == 2
    with pytest.raises(FileProblems, match=r"^\S*:1:22: duplicate key 'act' \(first on line 1\)$"):
        read_yaml(path)


def test_what_was_wrong_with_the_yaml_is_collected_for_who_asks() -> None:
    problems = Problems()
    assert parse_yaml("{a: 1, a: 2, b: .nan}", "f.yaml", problems).plain == {"a": 1, "b": None}
    assert problems == [
        Problem(1, 8, "duplicate key 'a' (first on line 1)"),
        Problem(1, 17, "numbers must be finite, found .nan"),
    ]
    with pytest.raises(FileProblems, match="not valid YAML"):
        parse_yaml("[1", "f.yaml", problems)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        pytest.param("settings: {s: 0, k: 2.5}\nlayers: [{conv: 3, out_channels: 4, stride: s}, {conv: k, "
                     "out_channels: 4, stride: s}]",
                     ["s → stride must be at least 1, found 0", "k → expected a whole number, found 2.5",
                      "s → stride must be at least 1, found 0"], id="settings"),
        pytest.param("blocks: {b: {columns: [c, s], layers: [{conv: 3, out_channels: c, stride: s}]}}\n"
                     "layers: [{block: b, rows: [[-1, 0], [4, 1], [2.5, 1], [in_channels, 1], [-2, 1]]}]",
                     ["-1 → out_channels must be at least 1, found -1", "0 → stride must be at least 1, found 0",
                      "2.5 → expected a whole number, found 2.5", "-2 → out_channels must be at least 1, found -2"],
                     id="cells"),
        pytest.param("blocks: {b: {columns: [c], layers: [{block: i, d: c}]}, i: {columns: [d], layers: "
                     "[{conv: 3, out_channels: d}, {conv: 3, out_channels: d - 1}]}}\nlayers: [{block: b, c: 0}]",
                     ["d - 1 → out_channels must be at least 1, found -1",
                      "0 → out_channels must be at least 1, found 0"], id="a cell handed on"),
        pytest.param("settings: {k: 0}\nblocks: {b: {repeat: 3, layers: [{conv: k, out_channels: 3}]}}\n"
                     "layers: [{block: b}, {block: b}]", ["k → kernel_size must be at least 1, found 0"],
                     id="the same in every repetition"),
        pytest.param("settings: {r: 0}\nlayers: [{residual: [{conv: 3, out_channels: r}], shortcut: [{conv: r, "
                     "out_channels: 3}], act: relu}]",
                     ["r → out_channels must be at least 1, found 0", "r → kernel_size must be at least 1, found 0"],
                     id="both branches"),
        pytest.param("settings: {a: 0, n: 0}\ndefaults: {norm: n, act: a}\nlayers: [{conv: 3, out_channels: n}]",
                     ["n → unknown norm '0' (known: batch, none)", f"a → unknown activation '0' (known: {KNOWN})",
                      "n → out_channels must be at least 1, found 0"], id="defaults"),
        pytest.param("settings: {unit: a}\nblocks: {a: {columns: [c], layers: [flatten]}}\n"
                     "layers: [{block: unit, rows: [[], [1], [2, 3]]}, {block: unit}]",
                     ["[ → expected 1 value (c), found 0", "[2 → expected 1 value (c), found 2",
                      "{block → missing c"], id="columns of a block that a setting chooses"),
        pytest.param("settings: {unit: c, k: 0}\nblocks: {a: {layers: [flatten]}}\n"
                     "layers: [{block: unit}, {max_pool: k}]",
                     ["unit → unknown block 'c' (known: a)", "k → kernel_size must be at least 1, found 0"],
                     id="a block that a setting chooses"),
    ],
)  # fmt: skip
def test_values_are_checked_on_after_a_mistake(text: str, problems: list[str]) -> None:
    assert blamed(text) == problems


@pytest.mark.parametrize(
    "after",
    [
        pytest.param("{conv: 3, out_channels: 8 // (in_channels - 3)}", id="in_channels"),
        pytest.param("{conv: 99, out_channels: 8, padding: 0}", id="a window"),
        pytest.param("{conv: 3, out_channels: 7, groups: 3}", id="groups"),
        pytest.param("{act: relu, when: in_channels}", id="when"),
        pytest.param(
            "{residual: [{conv: 3, out_channels: 8}], skip_when: in_channels == 8}", id="a sum"
        ),
        pytest.param("{residual: [{conv: 3, out_channels: 8}], act: relu}", id="another sum"),
        pytest.param("{block: b, c: in_channels - 3}", id="a column"),
        pytest.param("{block: b, rows: [[in_channels - 3]]}", id="a cell"),
        pytest.param("{block: r}", id="a repeat"),
        pytest.param("{block: i}", id="block_in_channels"),
        pytest.param("{block: b if in_channels > 3 else r, c: 3}", id="the choice of a block"),
        pytest.param("flatten, flatten, {global_pool: 1}", id="dimensions"),
    ],
)
def test_what_depends_on_a_shape_is_not_guessed_after_a_mistake(after: str) -> None:
    text = f"""
blocks:
  b: {{columns: [c], layers: [{{conv: 1, out_channels: c}}]}}
  r: {{repeat: block_in_channels - in_channels - 1, layers: [flatten]}}
  i: {{layers: [{{conv: 1, out_channels: block_in_channels - 8}}]}}
layers: [{{conv: 3, out_channels: 8, groups: 2}}, {after}]
"""
    assert blamed(text) == ["{conv → groups=2 does not divide in_channels=3"]


def test_rows_go_on_after_a_row_that_cannot_be() -> None:
    assert blamed("""
blocks: {b: {columns: [g, s], layers: [{conv: 3, out_channels: 8, groups: g, stride: s}]}}
layers: [{block: b, rows: [[2, 1], [5, 1], [1, 0]]}]
""") == ["{conv → groups=2 does not divide in_channels=3", "0 → stride must be at least 1, found 0"]


RESERVED = [
    "index",
    "first",
    "in_channels",
    "block_in_channels",
    "relu",
    "none",
    "same",
    "max",
    "a-b",
    "if",
    "2x",
    "b",
]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        pytest.param("blocks: {b: {columns: [c, n], layers: [flatten]}}\nlayers: [{block: b}, {block: b, n: 1}, "
                     "{block: b, rows: [[1], [1, 2], [3, 4, 5]]}]",
                     ["{block → missing c, n", "{block → missing c", "[1 → expected 2 values (c, n), found 1",
                      "[3 → expected 2 values (c, n), found 3"], id="missing columns and wrong rows"),
        pytest.param("blocks: {b: {columns: [c, n], layers: [flatten]}}\nlayers: [{block: b, c: 4, n: 1, rows: [[4]]}]",
                     ["rows → rows give every column, so c, n cannot stand beside them"], id="rows beside columns"),
        pytest.param("blocks: {a: {columns: [c], layers: [flatten]}, b: {columns: [d], layers: [flatten]}}\n"
                     "layers: [{block: a, c: 1, d: 2}]",
                     ["d → unknown key 'd' (known: block, c, name, rows, when)"], id="a column of another block"),
        pytest.param("blocks: {b: {columns: [c, d, c], layers: [flatten]}}\nlayers: [{block: b, c: 1}]",
                     ["c → duplicate column 'c'"], id="a column twice"),
        pytest.param(f"settings: {{{': 1, '.join(RESERVED)}: 1, ok: 1}}\nblocks: {{b: {{layers: [flatten]}}}}\n"
                     "layers: [flatten]", [f"{name} → '{name}' cannot be the name of a setting" for name in RESERVED],
                     id="names of settings"),
        pytest.param(f"blocks: {{b: {{columns: [{', '.join(RESERVED)}, ok], layers: [flatten]}}}}\n"
                     "layers: [{block: b}]",
                     [f"{name} → '{name}' cannot be the name of a column" for name in RESERVED], id="names of columns"),
        pytest.param(f"blocks: {{{': {layers: [flatten]}, '.join(RESERVED)}: {{layers: [flatten]}}}}\n"
                     "layers: [flatten]",
                     [f"{name} → '{name}' cannot be the name of a block" for name in RESERVED[:-1]],
                     id="names of blocks"),
        pytest.param("blocks: {bottleneck: {layers: [flatten]}}\nlayers: [{block: botleneck}, {block: 3}, {block: }]",
                     ["botleneck → unknown name 'botleneck' (did you mean 'bottleneck'?)",
                      "3 → unknown block '3' (known: bottleneck)", " → expected the name of a block, found nothing"],
                     id="no blocks"),
        pytest.param("layers: [{flatten: {a: b}}, {flatten: 99}, {flatten: false}]",
                     ["{a → expected a value, found a mapping", "99 → flatten takes no value, found 99",
                      "false → flatten takes no value, found False"], id="flatten"),
        pytest.param("layers: [{act: relu, when: 3}, {act: relu, when: relu}, {residual: [flatten], skip_when: 0}, "
                     "{act: relu, when: }, {conv: 1, out_channels: 1, bias: 0}]",
                     ["3 → when must be true or false, found 3", "relu → when must be true or false, found 'relu'",
                      "0 → skip_when must be true or false, found 0", " → when must be true or false, found nothing",
                      "0 → bias must be true or false, found 0"], id="no conditions"),
        pytest.param("layers: [{global_pool: }, {conv: none, out_channels: 1, stride: , padding: , act: , norm: null}, "
                     "{act: }, {act: none}, {norm: none}, {dropout: }]",
                     [" → expected a whole number, found nothing", "none → expected a whole number, found nothing",
                      " → expected a whole number, found nothing", " → expected a whole number, found nothing",
                      " → expected a value, found nothing", "null → expected a value, found nothing",
                      " → act cannot be none where it is a layer of its own",
                      "none → act cannot be none where it is a layer of its own",
                      "none → norm cannot be none where it is a layer of its own",
                      " → dropout must be a number, found nothing"], id="empty values"),
        pytest.param("layers: [conv]", ["conv → expected a whole number, found nothing",
                                        "conv → missing key 'out_channels'"], id="no value"),
        pytest.param("blocks: {b: {columns: [c], layers: [flatten]}}\n"
                     "layers: [{block: b, c: }, {block: b, rows: [[~]]}]",
                     [" → expected a value, found nothing", "~ → expected a value, found nothing"], id="empty cells"),
        pytest.param("layers: [{conv: 3, out_channels: 8, act: 0, norm: 0}]",
                     [f"0 → unknown activation '0' (known: {KNOWN})", "0 → unknown norm '0' (known: batch, none)"],
                     id="no words"),
        pytest.param("layers: [{act: relu, name: 1_000}, {act: relu, name: a b}]",
                     ["1_000 → a name does not begin with a digit, found '1_000'",
                      "a b → a name is letters, digits and underscores, found 'a b'"], id="names of layers"),
        pytest.param("layers: [{conv: 3, out_channels: round8()}, {conv: 3, out_channels: in_channels ** 2}]",
                     ["round8() → 'round8()' cannot be computed: "
                      "round8() missing 1 required positional argument: 'value'",
                      "in_channels ** 2 → 'in_channels ** 2': ** is not allowed in an expression"], id="expressions"),
        pytest.param("layers: [{conv: 3, out_channels: round8(9}]",
                     ["round8(9 → not an expression: 'round8(9' "
                      "(in {…} and […], quote an expression that has a comma)"], id="an expression cut off by a comma"),
        pytest.param(f"layers: [{{conv: 3, out_channels: {'9' * 41}}}, {{dropout: 0.{'1' * 39}}}]",
                     [f"{'9' * 41} → a number of more than 40 characters, refused; quote it if it is text",
                      f"0.{'1' * 39} → a number of more than 40 characters, refused; quote it if it is text"],
                     id="long numbers"),
        pytest.param("layers: [{conv: 3, out_channels: 1e300}, {conv: 3000000000x3, out_channels: 1}]",
                     ["1e300 → expected a whole number, found 1e+300",
                      "3000000000x3 → not an expression: '3000000000x3'"], id="absurd numbers"),
    ],
)  # fmt: skip
def test_every_slip_is_found_in_the_text_with_its_place(text: str, problems: list[str]) -> None:
    assert blamed(text) == problems


@pytest.mark.parametrize("layer", ["flatten", "{flatten: }", "{flatten: true}", "{flatten: null}"])
def test_flatten_takes_nothing(layer: str) -> None:
    assert [operation.name for operation in unrolled(f"layers: [{layer}]")] == ["flatten1"]


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        ("{conv: 3, out_channels: 8, padding: 1e6}, {conv: 3, out_channels: 8}",
         "{conv → output size must be at most 1,000,000, found 2000014×2000014"),
        ("{conv: 3, out_channels: 8, padding: 1e7}", "1e7 → padding must be at most 1,000,000, found 10000000"),
        ("{max_pool: 3, padding: 1e6}",
         "{max_pool → padding 1000000×1000000 is more than half of the pooling window 3×3"),
        ("{max_pool: 3, stride: 1e7}", "1e7 → stride must be at most 1,000,000, found 10000000"),
        ("{depthwise: 3, depth_multiplier: 1e6}",
         "{depthwise → out_channels must be at most 1,000,000, found 3000000"),
        ("{global_pool: 1e6}, flatten, {linear: 10}",
         "{linear → in_features must be at most 1,000,000,000,000, found 3000000000000"),
    ],
)  # fmt: skip
def test_absurd_sizes_are_refused_with_their_place(layers: str, problem: str) -> None:
    assert blamed(f"layers: [{layers}]") == [problem]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        pytest.param("[0, 16, relu]", ["0 → channels must be at least 1, found 0",
                                       "relu → expected a whole number, found 'relu'"], id="in the text"),
        pytest.param("[3, r / 3, 0 - r]", ["r / 3 → expected a whole number, found 2.6666666666666665",
                                           "0 - r → width must be at least 1, found -8"], id="computed"),
        pytest.param("[3, 2e6, .inf]", ["2e6 → height must be at most 1,000,000, found 2000000",
                                        ".inf → numbers must be finite, found .inf"], id="absurd"),
    ],
)  # fmt: skip
def test_an_impossible_input_is_reported_with_its_place(text: str, problems: list[str]) -> None:
    assert blamed(f"settings: {{r: 8}}\ninput: {text}\nlayers: [flatten]", shape=None) == problems


def test_an_input_of_the_caller_is_not_blamed_on_the_file() -> None:
    text = "input: [3, 8, 8]\nlayers: [flatten]"
    with pytest.raises(InputError, match=r"^batch must be at least 1, found 0$"):
        unrolled(text, (0, 3, 8, 8))


def test_a_setting_that_only_the_input_uses_is_known_as_such() -> None:
    text = "settings: {r: 8, c: 3, a: relu}\ninput: [c, r, r]\ndefaults: {act: a}\nlayers: [{conv: 1, out_channels: c}]"
    file = parse_architecture(parse_yaml(text, "net.yaml"), "net.yaml")
    assert file.input_settings == {"r"}


# -- the page that describes it

README = (config_folder("architectures") / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
def test_the_examples_of_the_readme_can_be_read(example: str) -> None:
    text = (
        example
        if "settings" in example
        else f"settings: {{width: 1.0, repeats: [3, 4]}}\n{example}"
    )
    if "stage" in text:
        text += (
            "blocks: {stage: {columns: [c, n], repeat: n, layers: [{conv: 1, out_channels: c}]}}\n"
        )
    assert unrolled(text)


def test_the_readme_names_every_activation_and_key() -> None:
    from dscost.networks.keys import LAYERS, WORDS
    from dscost.networks.language import VARIABLES

    keys = {key for kind, keys in LAYERS.items() for key in (kind, *keys)}
    assert [
        word for word in (*keys, *WORDS, *VARIABLES) if not re.search(rf"\b{word}\b", README)
    ] == []
