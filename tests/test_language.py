import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.configs import config_folder
from dscost.errors import FileProblems, InputError
from dscost.layers.convolution import ConvSpec, conv2d
from dscost.layers.others import LinearSpec, PoolSpec
from dscost.networks.architectures import Architecture, Network, build
from dscost.networks.language import parse_architecture
from dscost.notation.marked_yaml import parse_yaml

SHAPE = (1, 3, 16, 16)


def network(
    text: str, overrides: Mapping[str, Any] | None = None, shape: tuple[int, ...] | None = SHAPE
) -> Network:
    file = parse_architecture(parse_yaml(text, "net.yaml"), "net.yaml")
    name = next(iter(file.models), "net")
    settings = {**file.settings, **file.models.get(name, {})}
    return build(Architecture(name, file, settings), overrides=overrides or {}, shape=shape)


def names_of(text: str) -> list[str]:
    return [operation.name for operation in network(text).operations]


def convs_of(text: str) -> list[ConvSpec]:
    return [
        operation.spec
        for operation in network(text).operations
        if isinstance(operation.spec, ConvSpec)
    ]


def problems_of(text: str) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        network(text)
    return [line.removeprefix("net.yaml:") for line in str(caught.value).split("\n")]


# -- what can be said


@pytest.mark.parametrize(
    ("layer", "spec"),
    [
        pytest.param("{conv: 3, out_channels: 8}", conv2d(3, 8, 3, padding=1, bias=True), id="plain"),
        pytest.param("{conv: 5x3, out_channels: 8}", conv2d(3, 8, (5, 3), padding=(2, 1), bias=True), id="rectangular"),
        pytest.param("{conv: 5×3, out_channels: 8}", conv2d(3, 8, (5, 3), padding=(2, 1), bias=True), id="times sign"),
        pytest.param("{conv: [5, 1 + 2], out_channels: 8}", conv2d(3, 8, (5, 3), padding=(2, 1), bias=True), id="list"),
        pytest.param("{conv: 2, out_channels: 8}", conv2d(3, 8, 2, padding="same", bias=True), id="even kernel"),
        pytest.param("{conv: 3, out_channels: 8, padding: same}", conv2d(3, 8, 3, padding="same", bias=True),
                     id="same"),
        pytest.param("{conv: 3, out_channels: 8, padding: 0, stride: [2, 1], dilation: 2}",
                     conv2d(3, 8, 3, stride=(2, 1), dilation=2, bias=True), id="stride and dilation"),
        pytest.param("{conv: 3, out_channels: 2e1 * 0.3, groups: in_channels}",
                     conv2d(3, 6, 3, padding=1, groups=3, bias=True), id="expressions"),
        pytest.param("{conv: 1, out_channels: 1e3, bias: false}", conv2d(3, 1_000, 1), id="a thousand"),
        pytest.param("{conv: 1, out_channels: 010, norm: batch}", conv2d(3, 10, 1), id="no bias before a norm"),
        pytest.param("{conv: 1, out_channels: 4, norm: batch, bias: true}", conv2d(3, 4, 1, bias=True), id="both"),
        pytest.param("{depthwise: 3}", conv2d(3, 3, 3, padding=1, groups=3, bias=True), id="depthwise"),
        pytest.param("{depthwise: 3, depth_multiplier: 4, stride: 2, norm: batch}",
                     conv2d(3, 12, 3, stride=2, padding=1, groups=3), id="depth multiplier"),
        pytest.param("{max_pool: 2}", PoolSpec("max", (2, 2), (2, 2), (0, 0)), id="window"),
        pytest.param("{avg_pool: 3x2, stride: 1, padding: 1, ceil_mode: true}",
                     PoolSpec("avg", (3, 2), (1, 1), (1, 1), True), id="window with everything"),
        pytest.param("{linear: 5, bias: false}", LinearSpec(16, 5, bias=False), id="linear over the last dimension"),
    ],
)  # fmt: skip
def test_a_layer_is_read_as_its_spec(layer: str, spec: object) -> None:
    assert network(f"layers: [{layer}]").operations[0].spec == spec


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("layers: [{conv: 3, out_channels: 8, norm: batch, act: relu}, {conv: 3, out_channels: 8}]",
                     ["conv1", "conv1_norm", "conv1_act", "conv2"], id="numbered by kind"),
        pytest.param("layers: [{conv: 3, out_channels: 8, act: relu, name: stem}, {act: relu}]",
                     ["stem", "stem_act", "act1"], id="named"),
        pytest.param("{layers: [{conv: 1, out_channels: 8}], defaults: {norm: batch, act: silu}}",
                     ["conv1", "conv1_norm", "conv1_act"], id="defaults"),
        pytest.param("{layers: [{conv: 1, out_channels: 8, act: none}], defaults: {act: silu}}",
                     ["conv1"], id="a default refused"),
        pytest.param("layers: [flatten, {dropout: 0.5}, {linear: 9, act: relu}]",
                     ["flatten1", "dropout1", "linear1", "linear1_act"], id="words and values"),
        pytest.param("layers: [{act: relu, when: in_channels > 3}, {act: tanh, when: in_channels == 3}]",
                     ["act1"], id="when"),
        pytest.param("layers: [{residual: [{act: relu}, {act: relu, when: false}], act: silu}]",
                     ["act1", "add1", "add1_act"], id="identity shortcut"),
        pytest.param("layers: [{residual: [{conv: 1, out_channels: 8}], shortcut: [{conv: 1, out_channels: 8}]}]",
                     ["conv1", "shortcut1.conv1", "add1"], id="shortcut"),
        pytest.param("layers: [{residual: [{conv: 1, out_channels: 8}], skip_when: in_channels == 8, act: relu}]",
                     ["conv1", "add1_act"], id="no sum where skip_when is false"),
        pytest.param("layers: [{squeeze_excite: 2}]",
                     [f"squeeze_excite1.{part}"
                      for part in ("pool", "reduce", "reduce_act", "expand", "gate", "multiply")],
                     id="squeeze and excite"),
        pytest.param("{blocks: {b: {layers: [{act: relu}]}}, layers: [{block: b}, {block: b}]}",
                     ["b1.act1", "b2.act1"], id="block without columns"),
        pytest.param("{blocks: {b: {repeat: 2, layers: [{act: relu}]}}, layers: [{block: b, name: stage}]}",
                     ["stage1.0.act1", "stage1.1.act1"], id="repeated, named"),
        pytest.param("{blocks: {b: {columns: [n], repeat: n, layers: [{act: relu}]}},"
                     " layers: [{block: b, rows: [[1], [0], [2]]}]}",
                     ["b1.0.act1", "b3.0.act1", "b3.1.act1"], id="rows, one of them repeated zero times"),
        pytest.param("{blocks: {b: {columns: [k], layers: [{act: k}]}, a: {columns: [k], layers: [{block: b, k: k}]}},"
                     " layers: [{block: a, k: gelu}]}",
                     ["a1.b1.act1"], id="a block in a block"),
        pytest.param("{settings: {kind: a}, blocks: {a: {layers: [{act: relu}]}, b: {layers: [flatten]}},"
                     " layers: [{block: kind}]}",
                     ["a1.act1"], id="a block chosen by a setting"),
    ],
)  # fmt: skip
def test_layers_are_unrolled_with_their_names(text: str, names: list[str]) -> None:
    assert names_of(text) == names


def test_variables_of_a_block_change_with_its_repetitions() -> None:
    convs = convs_of(
        """
settings: {width: 0.5}
blocks:
  stage:
    columns: [c, n, s]
    repeat: n
    layers:
      - {conv: 1, out_channels: block_in_channels + index}
      - {conv: 3, out_channels: c * width, stride: s if first else 1}
layers:
  - block: stage
    rows: [[8, 2, 2], [c8 if false else 16, 1, 1]]
""".replace("c8 if false else 16", "8 * 2")
    )
    assert [(conv.in_channels, conv.out_channels, conv.stride[0]) for conv in convs] == [
        (3, 3 + 0, 1), (3, 4, 2), (4, 4 + 1, 1), (5, 4, 1),  # two repetitions to 8 channels
        (4, 4 + 0, 1), (4, 8, 1),
    ]  # fmt: skip


def test_squeeze_and_excite_gates_what_it_reads() -> None:
    operations = network(
        "layers: [{squeeze_excite: in_channels - 1, act: silu, gate: hard_sigmoid}]"
    ).operations
    assert [operation.sources for operation in operations] == [
        (-1,),
        (0,),
        (1,),
        (2,),
        (3,),
        (-1, 4),
    ]
    assert [operation.spec.type for operation in operations] == [
        "AdaptiveAvgPool2d", "Conv2d", "SiLU", "Conv2d", "Hardsigmoid", "Multiply",
    ]  # fmt: skip
    assert (operations[1].spec, operations[3].spec) == (
        conv2d(3, 2, 1, bias=True),
        conv2d(2, 3, 1, bias=True),
    )


def test_a_residual_adds_its_layers_to_its_shortcut() -> None:
    operations = network("""
layers:
  - {act: relu}
  - residual: [{conv: 3, out_channels: 8, stride: 2}]
    shortcut: [{avg_pool: 2}, {conv: 1, out_channels: 8}]
""").operations
    assert [(op.name, op.sources) for op in operations] == [
        ("act1", (-1,)), ("conv1", (0,)), ("shortcut1.avg_pool1", (0,)), ("shortcut1.conv1", (2,)), ("add1", (1, 3)),
    ]  # fmt: skip


def test_a_bare_list_is_a_file_of_layers() -> None:
    assert names_of("- {conv: 3, out_channels: 8, norm: batch, act: relu}\n- flatten\n- {linear: in_channels}\n") == [
        "conv1", "conv1_norm", "conv1_act", "flatten1", "linear1",
    ]  # fmt: skip
    with pytest.raises(
        InputError, match=r"^net\.yaml does not state its input: give it with --input 1,3,224,224$"
    ):
        network("- flatten", shape=None)


def test_models_choose_settings_and_overrides_win() -> None:
    text = "{settings: {c: 4, r: 8}, models: {m: {c: 6}}, input: [3, r, 2 * r], layers: [{conv: 1, out_channels: c}]}"
    assert network(text, shape=None).input_shape == (1, 3, 8, 16)
    assert network(text).operations[0].output_shape == (1, 6, 16, 16)
    assert network(text, {"c": 7, "r": 5}, shape=None).operations[0].output_shape == (1, 7, 5, 10)


# -- what is wrong, and where


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        # the file
        pytest.param("7", ["1:1: expected a mapping, found a number"], id="a number"),
        pytest.param("{}", ["1:1: missing key 'layers'"], id="no layers"),
        pytest.param("[]", ["1:1: a list of layers is empty"], id="an empty list"),
        pytest.param("layers: []", ["1:9: a list of layers is empty"], id="no layer"),
        pytest.param("layers: conv", ["1:9: expected a list of layers, found text"], id="no list"),
        pytest.param("layer: [flatten]", ["1:1: missing key 'layers'",
                                          "1:1: unknown key 'layer' (did you mean 'layers'?)"], id="misspelt key"),
        pytest.param("zzz: 1\nlayers: [flatten]",
                     ["1:1: unknown key 'zzz' (known: blocks, defaults, description, input, layers, models, settings, "
                      "source)"], id="unknown key"),
        pytest.param("layers: [flatten]\ndescription: 5\nsource: [a]",
                     ["2:14: expected text, found a number", "3:9: expected text, found a list"], id="texts"),
        pytest.param("layers: [flatten]\ninput: 3", ["2:8: input must be [channels, height, width]"], id="input"),
        pytest.param("layers: [flatten]\ninput: [3, 4]", ["2:8: input must be [channels, height, width]"], id="short"),
        pytest.param("layers: [flatten]\ninput: [3, in_channels, off]",
                     ["2:12: unknown name 'in_channels'", "2:25: unknown name 'off'"], id="names of an input"),
        # settings and models
        pytest.param("layers: [flatten]\nsettings: [a]", ["2:11: expected a mapping, found a list"], id="settings"),
        pytest.param("layers: [flatten]\nsettings: {a: , b: {c: 1}}",
                     ["2:15: 'a' must be a number, a word or a list, found nothing",
                      "2:20: 'b' must be a number, a word or a list, found a mapping"], id="kinds of settings"),
        pytest.param("layers: [flatten]\nsettings: {width: 1}\nmodels: {a: {widht: 2}, b: 5}",
                     ["3:14: unknown setting 'widht' (did you mean 'width'?)",
                      "3:28: expected a mapping, found a number"], id="models"),
        pytest.param("layers: [flatten]\ndefaults: {norm: batch, act: rleu, bias: true}",
                     ["2:30: unknown name 'rleu' (did you mean 'relu'?)",
                      "2:36: unknown key 'bias' (known: act, norm)"],
                     id="defaults"),
        # blocks
        pytest.param("layers: [{block: b}]\nblocks: {b: {columns: c}}",
                     ["2:13: missing key 'layers'", "2:23: columns must be a list of names, found text"], id="block"),
        pytest.param("layers: [{block: b}]\nblocks: {b: {columns: [rows, first, relu, a-b, 2x], layers: [flatten]}}",
                     ["2:24: 'rows' cannot be the name of a column", "2:30: 'first' cannot be the name of a column",
                      "2:37: 'relu' cannot be the name of a column", "2:43: 'a-b' cannot be the name of a column",
                      "2:48: '2x' cannot be the name of a column"], id="names of columns"),
        pytest.param("layers: [{block: b}]\nblocks: {b: {columns: [c, c], layers: [flatten]}}",
                     ["2:27: duplicate column 'c'"], id="a column twice"),
        pytest.param("layers: [{block: b, c: 1}]\nblocks: {b: {columns: [c], repeats: 2, layers: [{act: d}]}}",
                     ["2:28: unknown key 'repeats' (did you mean 'repeat'?)", "2:55: unknown name 'd'"],
                     id="in a block"),
        pytest.param("layers: [{block: a, rows: 3}, {block: a, rows: [3]}]\nblocks: {a: {layers: [flatten]}}",
                     ["1:27: rows must be a list of lists, one value per column of the block",
                      "1:48: rows must be a list of lists, one value per column of the block"], id="rows"),
        pytest.param("layers: [{block: bottlenek}]\nblocks: {bottleneck: {layers: [flatten]}}",
                     ["1:18: unknown name 'bottlenek' (did you mean 'bottleneck'?)"], id="misspelt block"),
        # layers
        pytest.param("layers: [3, [flatten], null]",
                     ["1:10: expected a layer such as {conv: 3, out_channels: 64}, found a number",
                      "1:13: expected a layer such as {conv: 3, out_channels: 64}, found a list",
                      "1:24: expected a layer such as {conv: 3, out_channels: 64}, found nothing"],
                     id="no layers at all"),
        pytest.param("layers: [{cnov: 3, out_channels: 8}, flaten]",
                     ["1:11: unknown layer 'cnov' (did you mean 'conv'?)",
                      "1:38: unknown layer 'flaten' (did you mean 'flatten'?)"], id="misspelt layers"),
        pytest.param("layers: [{zzz: 3}]",
                     ["1:11: unknown layer 'zzz' (known: conv, depthwise, linear, max_pool, avg_pool, global_pool, "
                      "norm, act, dropout, flatten, residual, squeeze_excite, block)"], id="unknown layer"),
        pytest.param("layers: [{conv: 3, linear: 8}, {act: relu, norm: batch}]",
                     ["1:10: one layer, but several kinds: conv, linear",
                      "1:32: one layer, but several kinds: act, norm"],
                     id="two layers in one"),
        pytest.param("layers: [{conv: 3}, {conv: 3, out_channels: 8, strid: 2, axt: relu}]",
                     ["1:10: missing key 'out_channels'", "1:48: unknown key 'strid' (did you mean 'stride'?)",
                      "1:58: unknown key 'axt' (did you mean 'act'?)"], id="keys of a layer"),
        pytest.param("layers: [{linear: 8, norm: batch}]",
                     ["1:22: unknown key 'norm' (known: act, bias, linear, name, when)"], id="key of another layer"),
        pytest.param("layers: [{act: relu, name: a.b}, {act: relu, name: 5}]",
                     ["1:28: a name is letters, digits and underscores, found 'a.b'",
                      "1:52: expected text, found a number"], id="names of layers"),
        pytest.param("layers: [{residual: conv}, {residual: []}, {residual: [flaten], shortcut: 1}]",
                     ["1:21: expected a list of layers, found text", "1:39: a list of layers is empty",
                      "1:56: unknown layer 'flaten' (did you mean 'flatten'?)",
                      "1:75: expected a list of layers, found a number"], id="lists of a residual"),
        # values
        pytest.param("layers: [{conv: 3, out_channels: widht}]\nsettings: {width: 2}",
                     ["1:34: unknown name 'widht' (did you mean 'width'?)"], id="misspelt setting"),
        pytest.param("layers: [{conv: 3, out_channels: rond8(9), bias: no, when: yes}]",
                     ["1:34: unknown function 'rond8' (did you mean 'round8'?)",
                      "1:50: unknown name 'no' (did you mean 'none'?)", "1:60: unknown name 'yes'"],
                     id="words that YAML 1.1 would turn"),
        pytest.param("layers: [{conv: 3 +, out_channels: c.real, stride: {a: 1}}]",
                     ["1:17: not an expression: '3 +'", "1:36: 'c.real': Attribute is not allowed in an expression",
                      "1:52: expected a value, found a mapping"], id="no expressions"),
    ],
)  # fmt: skip
def test_every_mistake_is_reported_at_once_with_its_place(text: str, problems: list[str]) -> None:
    assert problems_of(text) == problems


BLOCK = "blocks: {b: {columns: [c, n], repeat: n, layers: [{conv: 1, out_channels: c}]}}\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("layers: [{conv: 2.5, out_channels: 8}]", "1:17: expected a whole number, found 2.5", id="half"),
        pytest.param("layers: [{conv: 3, out_channels: 8 / 3}]", "1:34: expected a whole number, found 2.66",
                     id="third"),
        pytest.param("layers: [{conv: 3, out_channels: true}]", "1:34: expected a whole number, found True",
                     id="truth"),
        pytest.param("layers: [{conv: 3, out_channels: relu}]", "1:34: expected a whole number, found 'relu'",
                     id="word"),
        pytest.param("layers: [{conv: 3, out_channels: null}]", "1:34: expected a whole number, found nothing",
                     id="nothing"),
        pytest.param("layers: [{conv: 3, out_channels: 1e999}]", "1:34: numbers must be finite, found 1e999",
                     id="infinite"),
        pytest.param("layers: [{conv: 3, out_channels: [8, 8]}]", "1:34: expected a whole number", id="list"),
        pytest.param("layers: [{conv: 3, out_channels: 8 / (3 - in_channels)}]",
                     "1:34: '8 / (3 - in_channels)' cannot be computed: division by zero", id="division by zero"),
        pytest.param("layers: [{conv: [3], out_channels: 8}]",
                     "1:17: expected a whole number or a pair of them, found [3]", id="one"),
        pytest.param("layers: [{conv: 3x3x3, out_channels: 8}]", "1:17: not an expression: '3x3x3'", id="three"),
        pytest.param("layers: [{conv: same, out_channels: 8}]", "1:1", id="same is no kernel"),
        pytest.param("layers: [{conv: , out_channels: 8}]", "1:1", id="no kernel"),
        pytest.param("layers: [{conv: none, out_channels: 8}]", "1:1", id="none is no kernel"),
        pytest.param("layers: [depthwise]", "1:10", id="bare depthwise"),
        pytest.param("layers: [max_pool]", "1:10: expected a whole number, found nothing", id="bare pooling"),
        pytest.param("layers: [{conv: 3, out_channels: 8, stride: }]", "1:", id="no stride"),
        pytest.param("layers: [{conv: 3, out_channels: 8, dilation: null}]", "1:", id="no dilation"),
        pytest.param("layers: [{max_pool: [3]}]", "1:", id="pooling in one dimension"),
        pytest.param("layers: [{max_pool: [3, 3, 3]}]", "1:", id="pooling in three"),
        pytest.param("layers: [{avg_pool: []}]", "1:", id="pooling in none"),
        pytest.param("layers: [{global_pool: 1, functional: 1}]", "1:", id="a number for true or false"),
        pytest.param("layers: [{max_pool: 2, functional: true}]", "1:", id="functional pooling over windows"),
        pytest.param("layers: [{global_pool: [7, 7, 7]}]", "1:", id="global pooling to three extents"),
        pytest.param(f"layers: [{{conv: {'9' * 5_000}x3, out_channels: 8}}]", "1:", id="a kernel of 5000 digits"),
        pytest.param(f"settings: {{x: {'9' * 40}}}\nlayers: [{{dropout: {'*'.join('x' * 9)}}}]", "2:",
                     id="dropout larger than any float"),
        pytest.param("layers: [{conv: 3, out_channels: 8, stride: 2, padding: same}]",
                     "1:10: padding 'same' needs stride 1, found stride 2×2", id="an impossible convolution"),
        pytest.param("layers: [{conv: 3, out_channels: 8, groups: 2}]", "1:10: groups=2 does not divide in_channels=3",
                     id="groups"),
        pytest.param("layers: [{conv: 3, out_channels: 8, norm: relu}]", "1:43: unknown norm 'relu'", id="norm"),
        pytest.param("layers: [{conv: 3, out_channels: 8, act: batch}]", "1:42: unknown activation 'batch'", id="act"),
        pytest.param("layers: [{norm: none}]", "1:17: norm cannot be none", id="norm of its own"),
        pytest.param("layers: [{dropout: relu}]", "1:20: dropout must be a number, found 'relu'", id="dropout"),
        pytest.param("layers: [{dropout: 1}]", "1:20: dropout must be at least 0 and below 1, found 1.0",
                     id="drop all"),
        pytest.param("layers: [{max_pool: 17}]", "1:10: kernel 17×17 is larger than the padded input 16×16",
                     id="window"),
        pytest.param("layers: [{max_pool: 2, padding: 2}]", "1:10: padding 2×2 is more than half", id="window padding"),
        pytest.param("layers: [flatten, {conv: 1, out_channels: 8}]",
                     "1:19: a convolution needs 4 dimensions, found 1×768", id="convolution after flatten"),
        pytest.param("layers: [flatten, {global_pool: 1}]", "1:19: AdaptiveAvgPool2d needs an input of batch",
                     id="pooling after flatten"),
        pytest.param("layers: [flatten, {norm: batch}]", "1:19: BatchNorm2d", id="norm after flatten"),
        pytest.param("layers: [{residual: [{conv: 3, out_channels: 8}]}]", "1:10: cannot add 1×8×16×16 and 1×3×16×16",
                     id="residual that changes the shape"),
        pytest.param("layers: [{squeeze_excite: 0}]", "1:27: squeeze_excite must be at least 1, found 0", id="squeeze"),
        pytest.param("layers: [{act: relu, name: a}, {act: relu, name: a}]", "1:32: two layers are called 'a'",
                     id="twice"),
        pytest.param("layers: [{act: relu, when: in_channels > 3}]", "1:10: no layer is left: every 'when' is false",
                     id="nothing left"),
        pytest.param("layers: [{act: relu, when: false}, {dropout: 0.1, when: false}]",
                     "1:10: no layer is left: every 'when' is false", id="nothing left of two"),
        pytest.param(f"{BLOCK}layers: [{{block: b, c: 4}}]", "2:10: missing n", id="a column is missing"),
        pytest.param(f"{BLOCK}layers: [{{block: b, rows: [[4, 1], [8]]}}]", "2:36: expected 2 values (c, n), found 1",
                     id="a row is short"),
        pytest.param(f"{BLOCK}layers: [{{block: b, rows: [[]]}}]", "2:28: expected 2 values (c, n), found 0",
                     id="no row"),
        pytest.param(f"{BLOCK}layers: [{{block: b, c: 4, n: 1.5}}]", "2:30: expected a whole number, found 1.5",
                     id="repeated one and a half times"),
        pytest.param(f"{BLOCK}layers: [{{block: 3}}]", "2:18: unknown block '3' (known: b)", id="no name of a block"),
        pytest.param(f"settings: {{a: [b]}}\n{BLOCK}layers: [{{block: a}}]", "3:18: unknown block '['b']'",
                     id="a list is no block"),
        pytest.param(f"{BLOCK}layers: [{{block: b, c: 4, n: 1, rows: [[4, 1]]}}]", "2:", id="columns beside rows"),
        pytest.param("blocks: {a: {columns: [c], layers: [flatten]}, b: {columns: [k], layers: [flatten]}}\n"
                     "layers: [{block: a, c: 1, k: 2}]", "2:", id="a column of another block"),
        pytest.param("blocks: {a: {layers: [{act: relu}, {block: a}]}}\nlayers: [{block: a}]",
                     "1:36: blocks nested deeper than 20 levels; does 'a' contain itself?", id="a block in itself"),
        pytest.param("blocks: {a: {layers: [{block: b}]}, b: {layers: [{block: a}]}}\nlayers: [{block: a}]",
                     "1:50: blocks nested deeper than 20 levels; does 'a' contain itself?", id="blocks in each other"),
        pytest.param(f"{BLOCK}layers: [{{block: b, c: 4, n: 1e9}}]",
                     "1:51: more than 20,000 layers once blocks are repeated, refused", id="too many repeats"),
        pytest.param("blocks: {b: {repeat: 300000, layers: [{act: relu, when: false}]}}\nlayers: [flatten, {block: b}]",
                     "", id="too many repeats of nothing"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_reported_with_its_place(text: str, problem: str) -> None:
    (first, *others) = problems_of(text)
    assert first.startswith(problem)
    assert others == []


@pytest.mark.parametrize(
    ("columns", "given"),
    [
        ("conv, act", "{block: b, conv: 3, act: relu}"),
        ("conv, act", "{block: b, rows: [[3, relu]]}"),
        ("linear, norm", "{block: b, linear: 3, norm: relu}"),
        ("kernel, residual", "{block: b, kernel: 3, residual: relu}"),
    ],
)
def test_a_column_may_be_called_as_a_layer_is(columns: str, given: str) -> None:
    kernel, act = columns.split(", ")
    text = (
        f"blocks: {{b: {{columns: [{columns}], layers: [{{conv: {kernel}, out_channels: 8, act: {act}}}]}}}}\n"
        f"layers: [{given}]"
    )
    assert convs_of(text) == [conv2d(3, 8, 3, padding=1, bias=True)]
    assert names_of(text) == ["b1.conv1", "b1.conv1_act"]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        pytest.param("{conv: 3, out_channels: half}", "expected a whole number, found 2.5", id="a value"),
        pytest.param("{block: kind, c: 4}", "missing n", id="a column"),
        pytest.param("{max_pool: 17}", "kernel 17×17 is larger than the padded input 16×16", id="a layer"),
        pytest.param("{residual: [{conv: 3, out_channels: 8}]}", "cannot add 1×8×16×16 and 1×3×16×16", id="a sum"),
    ],
)  # fmt: skip
def test_what_only_follows_from_a_problem_is_not_told(broken: str, problem: str) -> None:
    """Three channels make no two groups; but who knows how many there are behind what is broken."""
    told = problems_of(
        f"settings: {{half: 2.5, kind: b}}\n{BLOCK}layers: [{broken}, {{conv: 3, out_channels: 8, groups: 2}}, "
        "{act: relu, when: in_channels > 3}, {conv: 3, out_channels: half}]"
    )
    assert [each.split(": ", 1)[1] for each in told] == [
        problem,
        "expected a whole number, found 2.5",
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"widht": 1}, "unknown setting 'widht' (did you mean 'width'?)"),
        ({"width": "wide"}, "setting 'width' must be a number like 1.0, found 'wide'"),
        ({"width": True}, "setting 'width' must be a number like 1.0, found 'True'"),
        ({"width": None}, "setting 'width' must be a number like 1.0, found 'None'"),
        ({"kind": 3}, "setting 'kind' must be a word like relu, found '3'"),
        ({"deep": 1}, "setting 'deep' must be true or false like False, found '1'"),
        ({"repeats": 2}, "setting 'repeats' must be a list like [2, 2], found '2'"),
    ],
    ids=str,
)
def test_a_setting_of_the_wrong_kind_is_refused(overrides: dict[str, Any], message: str) -> None:
    text = "{settings: {width: 1.0, kind: relu, deep: false, repeats: [2, 2]}, layers: [flatten]}"
    with pytest.raises(InputError) as caught:
        network(text, overrides)
    assert str(caught.value) == message


def test_a_file_without_settings_says_so() -> None:
    with pytest.raises(InputError, match=r"^net has no settings, so 'width' cannot be set$"):
        network("layers: [flatten]", {"width": 1})


def test_problems_of_the_whole_file_are_said_together() -> None:
    assert problems_of("""
layers:
  - {conv: 3, out_chanels: 8}
  - flaten
blocks:
  b: {columns: [c], layers: [{act: rleu}]}
settigns: {a: 1}
""") == [
        "3:5: missing key 'out_channels'",
        "3:15: unknown key 'out_chanels' (did you mean 'out_channels'?)",
        "4:5: unknown layer 'flaten' (did you mean 'flatten'?)",
        "6:36: unknown name 'rleu' (did you mean 'relu'?)",
        "7:1: unknown key 'settigns' (did you mean 'settings'?)",
    ]


# -- anything

SHIPPED = {
    path.stem: path.read_text(encoding="utf-8")
    for path in config_folder("architectures").glob("*.yaml")
}
TOKENS = sorted({token for text in SHIPPED.values() for token in re.findall(r"\w+|\W", text)} | {
    "null", "~", "[]", "{}", "[3]", "''", "same", "3x3", "-1", "1e9", "99999", "true", "&x", "*x", "!!str",
    "\t", "é", "\0",
})  # fmt: skip
EDITS = st.tuples(
    st.sampled_from(["delete", "replace", "insert", "swap"]),
    st.integers(0, 2_000),
    st.sampled_from(TOKENS),
)


def edited(text: str, pieces: str, edits: list[tuple[str, int, str]]) -> str:
    tokens = re.findall(pieces, text, re.DOTALL)
    for kind, where, token in edits:
        at = where % (len(tokens) - 1)
        match kind:
            case "delete":
                del tokens[at]
            case "replace":
                tokens[at] = token
            case "insert":
                tokens.insert(at, token)
            case "swap":
                tokens[at], tokens[at + 1] = tokens[at + 1], tokens[at]
    return "".join(tokens)


@law
@given(
    st.sampled_from(sorted(SHIPPED)),
    st.sampled_from([r"\w+|\W", "."]),
    st.lists(EDITS, min_size=1, max_size=4),
)
def test_a_shipped_file_with_any_slip_is_built_or_refused(
    name: str, pieces: str, edits: list[tuple[str, int, str]]
) -> None:
    text = edited(SHIPPED[name], pieces, edits)
    message = "built"
    try:
        network(text, shape=None)
    except InputError as error:
        message = str(error)
    assert message
