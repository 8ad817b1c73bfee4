"""Which layers a rule of a budget is about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.budgets.kinds import FIELDS, ConvFacts, Kind, Part, parse_kind
from dscost.budgets.selectors import TYPES, parse_selector
from dscost.errors import InputError, UnknownNameError
from dscost.layers.convolution import ConvSpec, conv2d
from dscost.layers.operations import OPERATIONS
from dscost.reports.figures import Cost
from dscost.reports.records import Layer, Operator

NOTHING = Cost(0, 0, 0, 0, 0, 0)


def layer(
    name: str = "x", conv: ConvSpec | None = None, type: str = "Conv2d", op: str = "convolution"
) -> Layer:
    return Layer(name, type, op, 1, conv, (1, 8, 8, 8), (1, 8, 8, 8), NOTHING)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("layer1.*", "layer1.0.conv1", True),
        ("layer1.*", "layer10.0.conv1", False),
        ("layer1.*", "layer1", False),
        ("layer1*", "layer10.0.conv1", True),
        ("*conv1", "layer1.0.conv1", True),
        ("*", "anything.at.all", True),
        ("*", "", True),
        ("layer?.0", "layer1.0", True),
        ("layer?.0", "layer12.0", False),
        ("name:layer1.0", "layer1.0", True),
        ("layer1.0", "layer1x0", False),
        ("layer1.0", "Layer1.0", False),
        ("layer1.0", "layer1.0.conv1", False),
        ("conv", "my.conv", False),
        ("blocks.?0?.*", "blocks.[0].conv", True),
        ("blocks.*.conv", "blocks.[0].conv", True),
    ],
)
def test_names_match_as_whole_and_a_star_crosses_dots(
    pattern: str, name: str, matches: bool
) -> None:
    selector = parse_selector(pattern)
    assert selector.matches(layer(name)) is matches
    assert selector.matches_kind(name, None) is matches
    assert not selector.needs_kinds


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("type:Conv2d", True),
        ("type:Conv*", True),
        ("type:conv2d", False),
        ("type:Linear", False),
        ("op:convolution", True),
        ("op:linear", False),
        ("op:*", True),
    ],
)
def test_types_and_operations_match_likewise(text: str, matches: bool) -> None:
    one, selector = layer(conv=conv2d(8, 8, 3)), parse_selector(text)
    assert selector.matches(one) is matches
    assert selector.matches_kind("x", Kind.of(one)) is matches
    assert selector.needs_kinds
    assert not selector.matches_kind("x", None)  # which a name alone cannot tell


# 12 channels to 24, kernel 3 high and 5 wide, stride 2 and 1, dilation 1, 4 groups, no bias
CONV = conv2d(12, 24, (3, 5), stride=(2, 1), groups=4)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("in_channels=12", True),
        ("out_channels=12", False),
        ("groups=4", True),
        ("groups!=4", False),
        ("groups!=1", True),
        ("groups>3", True),
        ("groups>4", False),
        ("groups>=4", True),
        ("groups>=5", False),
        ("groups<5", True),
        ("groups<4", False),
        ("groups<=4", True),
        ("groups<=3", False),
        ("bias=0", True),
        ("bias=false", True),
        ("bias=true", False),
        ("bias!=true", True),
        ("dilation=1", True),
        # of two sides the larger one is meant
        ("kernel=5", True),
        ("kernel=3", False),
        ("kernel>3", True),
        ("kernel>1", True),
        ("kernel<5", False),
        ("kernel!=3", True),
        ("stride=2", True),
        ("stride=1", False),
        ("groups=4,kernel>1", True),
        ("groups=1,kernel>1", False),
        ("groups=4,kernel>1,bias=true", False),
        (" groups = 4 , kernel >= 5 ", True),
        ("in_channels=0012", True),
    ],
)
def test_conditions_are_about_the_convolution(condition: str, holds: bool) -> None:
    for by in ("x", "*", "type:Conv2d", "op:convolution"):
        selector = parse_selector(f"{by}[{condition}]")
        assert selector.matches(layer(conv=CONV)) is holds
        assert selector.matches_kind("x", parse_kind(str(Kind.of(layer(conv=CONV))))) is holds
        assert not selector.matches_kind("x", None)
    assert not parse_selector(f"y[{condition}]").matches(layer(conv=CONV))


@pytest.mark.parametrize(
    "condition", ["groups=1", "groups!=1", "kernel>0", "kernel<9", "bias!=true"]
)
def test_what_is_no_convolution_fulfils_no_condition(condition: str) -> None:
    assert not parse_selector(f"*[{condition}]").matches(
        layer(conv=None, type="Linear", op="linear")
    )


@pytest.mark.parametrize("size", [1, 3])
def test_the_rule_that_finds_dense_convolutions_leaves_out_pointwise_ones(size: int) -> None:
    selector = parse_selector("type:Conv2d[groups=1,kernel>1]")
    assert selector.matches(layer(conv=conv2d(8, 8, size))) is (size > 1)
    assert not selector.matches(layer(conv=conv2d(8, 8, size, groups=8)))


EXAMPLE = "expected a pattern such as layer1.*, type:Conv2d or type:Conv2d[groups=1,kernel>1]"
CONDITION = "expected a condition such as groups=1 or kernel>1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"{EXAMPLE}, found ''"),
        ("type:", f"{EXAMPLE}, found 'type:'"),
        ("[groups=1]", f"{EXAMPLE}, found '[groups=1]'"),
        ("a[groups=1", f"{EXAMPLE}, found 'a[groups=1'"),
        ("a]", f"{EXAMPLE}, found 'a]'"),
        ("a[groups=1]b", f"{EXAMPLE}, found 'a[groups=1]b'"),
        ("a[[groups=1]]", f"{EXAMPLE}, found 'a[[groups=1]]'"),
        (5, f"{EXAMPLE}, found 5"),
        (None, f"{EXAMPLE}, found None"),
        (["a"], f"{EXAMPLE}, found ['a']"),
        ("a[]", f"{CONDITION}, found ''"),
        ("a[0]", f"{CONDITION}, found '0'"),
        ("a[groups]", f"{CONDITION}, found 'groups'"),
        ("a[groups=]", f"{CONDITION}, found 'groups='"),
        ("a[groups==1]", f"{CONDITION}, found 'groups==1'"),
        ("a[groups=>1]", f"{CONDITION}, found 'groups=>1'"),
        ("a[groups=1,]", f"{CONDITION}, found ''"),
        ("a[groups=-1]", f"{CONDITION}, found 'groups=-1'"),
        ("a[kernel=3x3]", "expected a whole number in 'kernel=3x3'"),
        ("a[groups=in_channels]", "expected a whole number in 'groups=in_channels'"),
        ("a[kernel>1.5]", f"{CONDITION}, found 'kernel>1.5'"),
        ("a[kernal=3]", "unknown field of a convolution 'kernal' (did you mean 'kernel'?)"),
        ("a[xyz=3]", "unknown field of a convolution 'xyz' (known: in_channels, out_channels, kernel, stride, "
         "dilation, groups, bias)"),
    ],
)  # fmt: skip
def test_what_is_no_selector_is_refused_with_an_example(text: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_selector(text)
    assert str(caught.value) == message


def test_every_field_that_is_offered_can_be_asked_for() -> None:
    for field in FIELDS:
        assert parse_selector(f"*[{field}>=0]").matches(layer(conv=CONV))
    with pytest.raises(UnknownNameError):
        parse_selector("*[padding=1]")  # it may be 'same', which is no number


@law
@given(
    st.text(max_size=40) | st.text("type:op[]=<>!,*0123456789kernelgroups ", max_size=40),
    st.text(max_size=10),
)
def test_any_text_is_a_selector_or_an_input_error(text: str, name: str) -> None:
    try:
        selector = parse_selector(text)
    except InputError:
        return
    assert selector.matches(layer(name, CONV)) in (True, False)
    assert not selector.conditions or not selector.matches(layer(name, None))


# -- kinds


def test_a_kind_is_one_line_that_says_what_conditions_ask() -> None:
    kind = Kind.of(layer(conv=CONV))
    assert str(kind) == (
        "convolution Conv2d[in_channels=12,out_channels=24,kernel=5,stride=2,dilation=1,groups=4,bias=0]"
    )
    assert str(Kind.of(layer(type="Linear", op="linear"))) == "linear Linear"


facts = st.none() | st.builds(ConvFacts, *(st.integers(0, 10**6) for _ in FIELDS))
parts = st.builds(
    Part, st.sampled_from(OPERATIONS), facts, st.integers(0, 10**15), st.integers(0, 10**15)
)


@law
@given(
    st.builds(
        Kind,
        st.text(max_size=9) | st.sampled_from(["Conv2d", "", "[groups=1]", "a b", "a\nb"]),
        st.sampled_from(OPERATIONS),
        facts,
        st.lists(parts, min_size=2, max_size=3).map(tuple) | st.just(()),
    )
)
def test_a_kind_is_read_back_whatever_the_class_is_called(kind: Kind) -> None:
    assert parse_kind(str(kind)) == kind


@pytest.mark.parametrize("text", ["", "Conv2d"])
def test_what_is_no_kind_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"^expected an operation and a type, found '{text}'$"):
        parse_kind(text)


# -- slips that would ban nothing


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TYPE:Conv2d", "unknown kind of pattern 'TYPE' (did you mean 'type'?); name:TYPE:Conv2d is a layer"),
        ("types:Conv2d", "unknown kind of pattern 'types' (did you mean 'type'?)"),
        ("Op:linear", "unknown kind of pattern 'Op' (did you mean 'op'?)"),
        ("class:Conv2d", "unknown kind of pattern 'class' (known: type, op, name)"),
        (" conv1 ", "expected no blanks around a pattern, found ' conv1 ': write 'conv1'"),
        ("conv1\t", "expected no blanks around a pattern, found 'conv1\t': write 'conv1'"),
        ("type: Conv2d", "expected no blanks around a pattern, found 'type: Conv2d': write 'type:Conv2d'"),
        ("type:Conv2d [kernel>1]", "expected no blanks around a pattern, found "),
        ("name: conv1", "expected no blanks around a pattern, found 'name: conv1': write 'conv1'"),
        ("conv1,conv2", "expected one pattern, found 'conv1,conv2': write a rule for each"),
        ("type:Conv2d,type:Linear", "expected one pattern, found "),
        ("^conv1$", "a pattern is no regular expression: * stands for any characters, ? for one; found '^' in '^conv"),
        ("conv\\d", "a pattern is no regular expression: "),
        ("(conv1|conv2)", "a pattern is no regular expression: "),
        ("conv.+", "a pattern is no regular expression: "),
        ("conv{1}", "a pattern is no regular expression: "),
        ("conv[0-9]+", "expected a pattern such as "),
        ("conv[0-9]", "expected a condition such as groups=1 or kernel>1, found '0-9'"),
        ("Conv2d", "'Conv2d' is the class of a layer: write 'type:Conv2d', or 'name:Conv2d' for a layer called so"),
        ("Linear[kernel>1]", "'Linear' is the class of a layer: write 'type:Linear'"),
        ("op:convolutoin", "unknown operation 'convolutoin' (did you mean 'convolution'?)"),
        ("op:xyz", "unknown operation 'xyz' (known: activation, "),
        ("op:linear[kernel>1]", "'op:linear[kernel>1]' can match nothing: conditions are about convolutions, "
         "transposed ones not included, and no linear is one"),
        ("op:transposed_convolution[kernel>3]", "'op:transposed_convolution[kernel>3]' can match nothing: conditions "),
        ("type:ConvTranspose2d[stride=2]", "'type:ConvTranspose2d[stride=2]' can match nothing: conditions are about"),
        ("op:lin*[groups=1]", "'op:lin*[groups=1]' can match nothing: "),
        ("type:Linear[kernel>1]", "'type:Linear[kernel>1]' can match nothing: conditions are about convolutions"),
        ("type:BatchNorm2d[groups=1]", "'type:BatchNorm2d[groups=1]' can match nothing: "),
        ("*[kernel>3,kernel<3]", "'*[kernel>3,kernel<3]' can match nothing: no kernel is > 3 and < 3"),
        ("*[kernel>3,bias=1,kernel<4]", "'*[kernel>3,bias=1,kernel<4]' can match nothing: no kernel is > 3 and < 4"),
        ("*[groups=0]", "'*[groups=0]' can match nothing: no groups is = 0"),
        ("*[stride<1]", "'*[stride<1]' can match nothing: no stride is < 1"),
        ("*[bias=2]", "'*[bias=2]' can match nothing: no bias is = 2"),
        ("*[bias!=true,bias!=false]", "'*[bias!=true,bias!=false]' can match nothing: no bias is != 1 and != 0"),
        ("*[kernel=1,kernel!=1]", "'*[kernel=1,kernel!=1]' can match nothing: no kernel is = 1 and != 1"),
        ("*[kernel>" + "9" * 5000 + "]", "a number of 5,000 digits, at most 18 are read"),
        ("*[kernel>١]", "expected a whole number in 'kernel>١'"),
    ],
)  # fmt: skip
def test_what_would_mean_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_selector(text)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "name"),
    [("name:Conv2d", "Conv2d"), ("name:a,b", "a,b"), ("name:^a$", "^a$"), ("name:TYPE:a", "TYPE:a"),
     ("name:x|y(z)+{1}", "x|y(z)+{1}"), ("a b", "a b")],
)  # fmt: skip
def test_a_name_is_meant_as_it_stands_where_one_says_so(text: str, name: str) -> None:
    assert parse_selector(text).matches(layer(name))


@pytest.mark.parametrize(
    "text",
    ["*[kernel>3,kernel<5]", "*[kernel>=3,kernel<=3]", "*[groups>1]", "*[bias<1]", "*[bias>=1]", "op:*conv*[kernel>1]",
     "type:MyConv[kernel>1]", "type:LazyConv2d[kernel>1]", "*[kernel!=1]"],
)  # fmt: skip
def test_what_can_be_fulfilled_is_a_selector(text: str) -> None:
    assert parse_selector(text).text == text


# -- layers that compute several things

SMALL, LARGE = conv2d(8, 8, 1), conv2d(8, 8, (5, 3), groups=2)
MIXED = layer("own", type="Own", op="linear")._replace(
    operators=(
        Operator("convolution", SMALL, 1, Cost(64, 64 * 64, 0, 0, 0, 0)),
        Operator("convolution", LARGE, 2, Cost(480, 480 * 64, 0, 0, 0, 0)),
        Operator("linear", None, 1, Cost(9, 10**9, 0, 0, 0, 0)),
    )
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("own", None),
        ("type:Own", None),
        ("op:*", None),
        ("op:convolution", (0, 1)),
        ("op:linear", (2,)),
        ("op:convolution[kernel>3]", (1,)),
        ("own[kernel>3]", (1,)),
        ("type:Own[groups=1]", (0,)),
        ("*[groups>0]", (0, 1)),
        ("op:convolution[kernel>5]", False),
        ("op:matmul", False),
        ("other[kernel>3]", False),
        ("type:Other[kernel>3]", False),
        ("op:convolution[kernel>3,groups=1]", False),  # each of them is another's
    ],
)
def test_a_selector_means_the_operators_of_a_layer_that_runs_several(
    text: str, parts: object
) -> None:
    selector = parse_selector(text)
    assert selector.matches(MIXED) is (parts is not False)
    if parts is not False:
        assert selector.parts_meant(parse_kind(str(Kind.of(MIXED)))) == parts


def test_convolutions_inside_other_modules_are_left_out_of_a_rule_on_torchs_own() -> None:
    said = "1 convolution of type Own left out: op:convolution means all"
    assert parse_selector("type:Conv2d[kernel>3]").leaves_out([MIXED]) == said


# -- slips of the pen


@pytest.mark.torch
def test_the_types_that_are_known_are_those_of_torch() -> None:
    from torch import nn

    classes = {
        name
        for name, one in vars(nn).items()
        if isinstance(one, type) and issubclass(one, nn.Module)
    }
    containers = {"Module", "Container", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict",
                  "DataParallel", "RNNBase", "RNNCellBase", "AdaptiveLogSoftmaxWithLoss"}  # fmt: skip
    assert {name for name in classes - containers if "Loss" not in name} <= TYPES


@pytest.mark.torch
def test_the_operations_that_are_known_are_those_of_reports() -> None:
    from dscost.layers import convolution as specs
    from dscost.layers import others as network_specs
    from dscost.traces.rules import ELEMENTWISE, FORMULAS, FREE, MEAN

    built = {
        one.op for one in vars(network_specs).values() if isinstance(getattr(one, "op", None), str)
    }
    traced = (
        {rule.op for rule in FORMULAS.values()} | set(FREE.values()) | set(ELEMENTWISE.values())
    )
    assert built | {specs.conv2d(3, 3, 3).op, "transposed_convolution"} | (
        traced - {MEAN, ""}
    ) <= set(OPERATIONS)


OWN = (layer("a.conv", CONV, type="StdConv2d"), layer("b", type="Linear", op="linear"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type:Conv2D", "unknown type 'Conv2D' (did you mean 'Conv2d'?)"),
        ("type:conv2d[groups=1]", "unknown type 'conv2d' (did you mean 'Conv2d'?)"),
        ("type:Con2d*", "unknown type 'Con2d*' (did you mean 'Conv2d'?)"),
        ("type:StdCnv2d", "unknown type 'StdCnv2d' (did you mean 'StdConv2d'?)"),
        # what is known, or may be a class of the user's
        ("type:Conv2d", None),
        ("type:Conv3d[kernel>9]", None),
        ("type:Conv*", None),
        ("type:StdConv2d", None),
        ("type:MyConv2d", None),
        ("type:Hourglass", None),
        ("op:recurrent", None),
        ("op:*convolution", None),
        ("nowhere*", None),
    ],
)
def test_a_type_that_nearly_is_a_known_one_is_a_slip(text: str, said: str | None) -> None:
    assert parse_selector(text).unknown_name(OWN) == said


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("layr1*", " (did you mean 'layer1'?)"),
        ("layer1.0.con1", " (did you mean 'layer1.0.conv1'?)"),
        ("*.covn1", " (did you mean 'conv1'?)"),
        ("type:Conv2D", " (did you mean 'Conv2d'?)"),
        ("type:Conv3d", ""),  # which is one, only not here
        ("layer1[kernel>9]", ""),
        ("aux.*", ""),
    ],
)
def test_what_matches_nothing_is_told_what_nearly_would(text: str, hint: str) -> None:
    assert parse_selector(text).nearest([layer("layer1.0.conv1"), layer("fc")]) == hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "type:Conv2d",
            "2 convolutions of type MyConv, StdConv left out: op:convolution means all",
        ),
        (
            "type:Conv2d[groups=1]",
            "1 convolution of type MyConv left out: op:convolution means all",
        ),
        (
            "type:Conv?d",
            "3 convolutions of type MyConv, MyConv1d, StdConv left out: op:convolution means all",
        ),
        ("type:Conv2d[groups>4]", None),
        ("type:*", None),
        ("type:MyConv", None),
        ("type:Linear", None),
        ("op:convolution", None),
        ("*", None),
    ],
)
def test_convolutions_of_the_users_own_classes_are_named_where_a_rule_leaves_them_out(
    text: str, said: str | None
) -> None:
    line = ConvSpec(8, 8, (3,), (1,), (0,), (1,))
    layers = [layer("a", CONV), layer("b", conv2d(8, 8, 3), type="MyConv"), layer("c", CONV, type="StdConv"),
              layer("d", type="Own", op="matmul"), layer("e", line, type="MyConv1d"),
              layer("f", line, type="Conv1d")]  # fmt: skip
    if text == "type:Conv2d[groups=1]":
        layers = layers[:4]
    assert parse_selector(text).leaves_out(layers) == said
