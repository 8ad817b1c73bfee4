"""What a budget file may say, and the place of every mistake in it."""

from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.budgets.language import BUDGET, MODEL
from dscost.budgets.reading import read_budget
from dscost.budgets.records import BOUNDS, LEVELS, POLICIES, Budget, Entry, Limit
from dscost.errors import FileProblems, InputError
from dscost.notation.inputs import TensorSpec
from dscost.reports.figures import FIGURES

HEAD = "version: 1\nmodels:\n  - target: m\n"  # what follows begins on line 4
QUANTITY = "expected a quantity such as"
LIMIT_KEYS = (*BOUNDS, "ignore_below", "tolerance", "level", "message")
SHAPE = "expected a shape such as [1, 3, 224, 224] or ids=1,128:int64"


def read(text: str | bytes) -> Budget:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "dscost.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_budget(path)


def one(text: str) -> Entry:
    (entry,) = read(text).entries
    return entry


def limits_of(text: str, head: str = HEAD) -> list[Limit]:
    return list(one(f"{head}    limits: {text}\n").limits)


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        read(text)
    return [
        f"{problem.line}:{problem.column}: {problem.message}" for problem in caught.value.problems
    ]


# -- what can be said

WHOLE = """\
version: 1
description: what may be shipped to phones
baseline: kept/dscost-baseline.json
defaults:
  input: [1, 3, 224, 224]
  dtype: float16
  limits:
    params: {max_increase: 0%}
    macs: {max_increase: 1%, ignore_below: 100k}
policy: {on_missing_baseline: error, on_unmatched_rule: warn, on_unknown_cost: ignore, on_improvement: ignore}
models:
  - name: mobile
    target: mobilenet_v1
    limits:
      params: 4.3M
      macs: {max: 600M, max_increase: 2%, level: warn, message: "ask first"}
      weight_bytes: 17 MiB
      peak_activation_bytes: {min: 1 kB, max: 10 MB}
      latency_s: {max: 12 ms, tolerance: 5%, level: error}
    layers:
      - {match: "features.*", each: {macs: 40M}}
      - {match: "type:Conv2d[groups=1,kernel>1]", total: {params: {max: 0, level: warn}}}
    exclude:
      - {match: "aux.*", reason: training only}
  - target: net.yaml:small
    input: 1,3,96,64
    batch: 4
    dtype: int8
    set: {width: 0.5}
"""


def test_everything_that_a_budget_says_is_kept() -> None:
    budget = read(WHOLE)
    assert budget.baseline is not None
    assert budget.baseline.relative_to(budget.path.parent) == Path("kept/dscost-baseline.json")
    assert budget.policy == {
        "on_missing_baseline": "error",
        "on_stale_baseline": "warn",
        "on_unmatched_rule": "warn",
        "on_unknown_cost": "ignore",
        "on_unseen_work": "error",
        "on_value_dependent": "warn",
        "on_unused_weights": "warn",
        "on_unloadable_model": "fail",
        "on_improvement": "ignore",
    }
    mobile, small = budget.entries
    assert (mobile.name, mobile.target, mobile.input, mobile.batch, mobile.dtype) == (
        "mobile", "mobilenet_v1", (1, 3, 224, 224), None, "float16",
    )  # fmt: skip
    assert mobile.place == (12, 5)
    share = Fraction(1, 100)
    assert mobile.limits == (
        Limit("params", "max_increase", Fraction(0), relative=True, place=(8, 14)),
        Limit("params", "max", Fraction(4_300_000), place=(15, 7)),
        Limit(
            "macs",
            "max",
            Fraction(600 * 10**6),
            level="warn",
            message="ask first",
            place=(16, 14),
        ),
        Limit(
            "macs",
            "max_increase",
            2 * share,
            relative=True,
            ignore_below=Fraction(100_000),
            level="warn",
            message="ask first",
            place=(16, 25),
        ),
        Limit("weight_bytes", "max", Fraction(17 * 1024**2), place=(17, 7)),
        Limit("peak_activation_bytes", "max", Fraction(10**7), place=(18, 42)),
        Limit("peak_activation_bytes", "min", Fraction(1000), place=(18, 31)),
        Limit("latency_s", "max", Fraction(12, 1000), tolerance=5 * share, place=(19, 19)),
    )
    each, total = mobile.layers
    assert (each.selector.text, each.total, each.place) == ("features.*", (), (21, 9))
    assert each.each == (Limit("macs", "max", Fraction(40 * 10**6), place=(21, 38)),)
    assert total.total == (Limit("params", "max", Fraction(0), level="warn", place=(22, 68)),)
    assert [(one.selector.text, one.reason) for one in mobile.exclude] == [
        ("aux.*", "training only")
    ]
    assert (small.name, small.input, small.batch, small.dtype) == (
        "net.yaml:small",
        (1, 3, 96, 64),
        4,
        "int8",
    )
    assert small.settings == {"width": 0.5}
    assert [(limit.metric, limit.bound) for limit in small.limits] == [
        ("params", "max_increase"),
        ("macs", "max_increase"),
    ]
    assert small.limits[1].ignore_below == 100_000


def test_what_nobody_said_has_the_documented_policy() -> None:
    assert read(HEAD).policy == {
        "on_missing_baseline": "warn",
        "on_stale_baseline": "warn",
        "on_unmatched_rule": "error",
        "on_unknown_cost": "error",
        "on_unseen_work": "error",
        "on_value_dependent": "warn",
        "on_unused_weights": "warn",
        "on_unloadable_model": "fail",
        "on_improvement": "note",
    }


@pytest.mark.parametrize(
    ("name", "word"), [(name, word) for name, (words, _, _) in POLICIES.items() for word in words]
)
def test_every_policy_word_is_taken(name: str, word: str) -> None:
    assert read(f"{HEAD}policy: {{{name}: {word}}}\n").policy[name] == word


@pytest.mark.parametrize("name", sorted(POLICIES.keys() - {"on_stale_baseline"}))
def test_a_model_may_have_a_policy_of_its_own(name: str) -> None:
    word, other = POLICIES[name][0][-2:]
    budget = read(
        f"{HEAD}    policy: {{{name}: {word}}}\n  - target: other\npolicy: {{{name}: {other}}}\n"
    )
    assert [budget.policy_of(entry)[name] for entry in budget.entries] == [word, other]
    assert budget.policy_of(budget.entries[0]) | {name: ""} == {**budget.policy, name: ""}


def test_the_budget_as_a_whole_has_the_policy_on_what_no_model_has() -> None:
    said = problems(f"{HEAD}    policy: {{on_stale_baseline: error}}\n")
    assert len(said) == 1
    assert said[0].startswith("4:14: unknown key 'on_stale_baseline'")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("7B", "params is a count, write 7G for billions; for bytes use weight_bytes"),
        ("1.5B", "params is a count, write 1.5G for billions; for bytes use weight_bytes"),
        ("7 B", "params is a count, write 7; for bytes use weight_bytes"),
        ("7MB", "params is a count, write 7M; for bytes use weight_bytes"),
    ],
)
def test_billions_are_written_otherwise(text: str, said: str) -> None:
    assert problems(f"{HEAD}    limits: {{params: {text}}}\n") == [
        f"4:22: expected a quantity such as 600M, 1.5G or 4_231_976, found '{text}': {said}"
    ]


@pytest.mark.parametrize("value", ["yes", "1", "'true'", "~", "[]"])
def test_whether_a_rule_may_be_empty_is_true_or_false(value: str) -> None:
    said = problems(f"{HEAD}    layers: [{{match: a, total: {{macs: 0}}, allow_empty: {value}}}]\n")
    assert len(said) == 1
    assert said[0].startswith("4:56: expected true or false, found ")


def test_all_choices_of_a_budget_together_are_limited() -> None:
    values = ", ".join(map(str, range(1, 501)))
    model = f"  - {{name: %s, target: t, matrix: {{batch: [{values}]}}}}\n"
    assert len(read("version: 1\nmodels:\n" + model % "a" + model % "b").entries) == 1000
    assert problems("version: 1\nmodels:\n" + model % "a" + model % "b" + "  - {target: t}\n") == [
        "5:5: more than 1,000 models and choices up to here: split the budget"
    ]
    (said,) = problems("version: 1\nmodels:\n  - {target: t}\n" + model % "a" + model % "b")
    assert said == "5:34: 500 entries are too many; at most 1,000 in a budget, and 501 stand above"


def test_measured_figures_warn_and_have_a_tolerance_unless_told_otherwise() -> None:
    def only(text: str) -> Limit:
        (limit,) = limits_of(text)
        return limit

    usual = only("{latency_s: 12 ms}")
    assert (usual.level, usual.tolerance) == ("warn", Fraction(1, 10))
    told = only("{latency_s: {max: 12 ms, tolerance: 0%, level: error}}")
    assert (told.level, told.tolerance) == ("error", 0)
    assert only("{latency_s: {min: 1 ms, tolerance: 0.1%}}").tolerance == Fraction(1, 1000)
    assert (only("{macs: 1G}").level, only("{macs: 1G}").tolerance) == ("error", 0)


def test_a_model_replaces_bounds_of_the_defaults_one_by_one() -> None:
    head = "version: 1\ndefaults: {limits: {macs: {max: 5, max_increase: 1%}, params: 7}}\nmodels:\n  - target: m\n"
    found = {(limit.metric, limit.bound): limit.value for limit in limits_of("{macs: 3}", head)}
    assert found == {
        ("macs", "max"): 3,
        ("macs", "max_increase"): Fraction(1, 100),
        ("params", "max"): 7,
    }
    ignored = limits_of("{macs: {max_increase: 1%, level: ignore}}", head)
    assert {limit.bound: limit.level for limit in ignored if limit.metric == "macs"} == {
        "max": "error",
        "max_increase": "ignore",
    }


MEASURED = "{latency_s: {max: 10 ms, tolerance: 20%, level: error, message: slow}}"


@pytest.mark.parametrize(
    ("defaults", "own", "expected"),
    [
        ("{macs: {max_increase: 1%, ignore_below: 100k}}", "{macs: {max_increase: 2%}}",
         {"max_increase": ("1/50", 100_000, 0, "error", None)}),
        ("{macs: {max_increase: 1%, ignore_below: 100k}}", "{macs: {max_increase: 2%, ignore_below: 5}}",
         {"max_increase": ("1/50", 5, 0, "error", None)}),
        ("{macs: {max_increase: 1%, ignore_below: 100k}}", "{macs: {max: 7, level: warn}}",
         {"max_increase": ("1/100", 100_000, 0, "error", None), "max": ("7", 0, 0, "warn", None)}),
        ("{macs: {max_increase: 1%, level: warn, message: why}}", "{macs: 7}",
         {"max_increase": ("1/100", 0, 0, "warn", "why"), "max": ("7", 0, 0, "warn", "why")}),
        ("{macs: 7}", "{macs: {max_increase: 5, level: warn}}",
         {"max": ("7", 0, 0, "error", None), "max_increase": ("5", 0, 0, "warn", None)}),
        (MEASURED, "{latency_s: 12 ms}", {"max": ("3/250", 0, Fraction(1, 5), "error", "slow")}),
        (MEASURED, "{latency_s: {max: 12 ms, tolerance: 0%}}", {"max": ("3/250", 0, 0, "error", "slow")}),
    ],
)  # fmt: skip
def test_a_bound_of_a_model_takes_what_stands_beside_that_of_the_defaults(
    defaults: str, own: str, expected: dict[str, tuple[object, ...]]
) -> None:
    head = f"version: 1\ndefaults: {{limits: {defaults}}}\nmodels:\n  - target: m\n"
    assert {
        one.bound: (str(one.value), one.ignore_below, one.tolerance, one.level, one.message)
        for one in limits_of(own, head)
    } == expected


def test_a_bound_of_an_entry_takes_what_stands_beside_those_of_its_model_and_of_the_defaults() -> (
    None
):
    entry = one(
        "version: 1\ndefaults: {limits: {macs: {max_increase: 1%, ignore_below: 9, level: warn}}}\nmodels:\n"
        "  - target: m\n    limits: {macs: {max: 5, level: error, message: why}}\n    matrix: {width: [1]}\n"
        "    entries: [{match: {width: 1}, limits: {macs: {max_increase: 3%}}}]\n"
    )
    limits = {
        limit.bound: (limit.value, limit.ignore_below, limit.level, limit.message)
        for limit in entry.limits
    }
    assert limits == {
        "max": (5, 0, "error", "why"),
        "max_increase": (Fraction(3, 100), 9, "error", "why"),
    }


def test_rules_on_layers_take_nothing_of_the_defaults() -> None:
    (rule,) = one(
        "version: 1\ndefaults: {limits: {macs: {max_increase: 1%, ignore_below: 9, level: warn}}}\nmodels:\n"
        "  - {target: m, layers: [{match: a, each: {macs: {max_increase: 1%}}}]}\n"
    ).layers
    assert [(limit.ignore_below, limit.level) for limit in rule.each] == [(0, "error")]


# -- inputs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 3, 8, 8]", (1, 3, 8, 8)),
        ("'1,3,8,8'", (1, 3, 8, 8)),
        ("' 1, 3 ,8,008 '", (1, 3, 8, 8)),
        ("['1,3,8,8']", (1, 3, 8, 8)),
        ("[[1, 3, 8, 8]]", (1, 3, 8, 8)),
        ("'ids=1,128:int64'", (TensorSpec((1, 128), "int64", "ids"),)),
        ("'1,128:int64'", (TensorSpec((1, 128), "int64"),)),
        ("['ids=1,128:int64', 'mask=1,128']",
         (TensorSpec((1, 128), "int64", "ids"), TensorSpec((1, 128), None, "mask"))),
        ("[[1, 3, 8, 8], '1,5:bool']", (TensorSpec((1, 3, 8, 8)), TensorSpec((1, 5), "bool"))),
        ("{ids: '1,128:int64', mask: [1, 128]}",
         (TensorSpec((1, 128), "int64", "ids"), TensorSpec((1, 128), None, "mask"))),
    ],
)  # fmt: skip
def test_an_input_is_a_shape_or_several_tensors(text: str, expected: object) -> None:
    assert one(f"{HEAD}    input: {text}\n").input == expected
    (only,) = read(f"{HEAD}    matrix: {{input: [{text}]}}\n").entries
    assert only.input == expected


def test_the_inputs_of_a_matrix_have_a_name_each() -> None:
    inputs = "[[1, 8], ['a=1,8:int64', '1,8'], {a: [1, 8], b: '1,8'}, [[1, 8], [2]]]"
    entries = read(f"{HEAD}    matrix: {{input: {inputs}}}\n").entries
    assert [entry.name for entry in entries] == [
        "m[input=1x8]", "m[input=a=1,8:int64+1,8]", "m[input=a=1x8+b=1,8]", "m[input=1x8+2]",
    ]  # fmt: skip


# -- saved reports

SAVED = "version: 1\ndefaults: {input: [1, 3, 8, 8], batch: 2, dtype: float16, limits: {macs: 5}}\nmodels:\n"


@pytest.mark.parametrize("target", ["report.json", "out/all.json:timm:resnet18"])
def test_a_saved_report_has_limits_of_the_defaults_and_an_input_of_its_own(target: str) -> None:
    entry = one(f"{SAVED}  - target: {target}\n")
    assert (entry.input, entry.batch, entry.dtype) == (None, None, None)
    assert [limit.value for limit in entry.limits] == [5]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("input", "[1]"),
        ("batch", "1"),
        ("dtype", "int8"),
        ("set", "{a: 1}"),
        ("kwargs", "{}"),
        ("matrix", "{a: [1]}"),
        ("trust", "true"),
    ],
)
def test_what_would_change_a_saved_report_is_a_mistake(key: str, value: str) -> None:
    assert problems(f"{SAVED}  - target: r.json\n    {key}: {value}\n") == [
        f"5:5: r.json is a saved report, counted already: '{key}' cannot change it"
    ]


def test_anchors_are_the_values_they_stand_for() -> None:
    first, second = read(
        "version: 1\nmodels:\n  - {target: a, limits: &same {macs: 3, params: 1.1k}}\n  - {target: b, limits: *same}\n"
    ).entries
    assert first.limits == second.limits
    assert [limit.value for limit in first.limits] == [3, 1100]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.1G", 11 * 10**8), ("1e6", 10**6), ("1E6", 10**6), ("0x10", 16), ("010", 10), ("'600M'", 6 * 10**8),
     ("4_231_976", 4231976), ("+5", 5), ("0", 0), ("1e22", 10**22)],
)  # fmt: skip
def test_a_count_is_what_it_looks_like(text: str, value: int) -> None:
    assert [limit.value for limit in limits_of(f"{{macs: {text}}}")] == [value]


def test_a_fraction_of_a_byte_may_come_of_a_unit() -> None:
    found = limits_of("{weight_bytes: 1.3 KiB, params: {max: 1.0005k, max_increase: 0.5%}}")
    assert [limit.value for limit in found] == [
        Fraction(13, 10) * 1024,
        Fraction(20_010, 20),
        Fraction(1, 200),
    ]


def test_flops_per_byte_is_a_plain_number_and_exact() -> None:
    assert [limit.value for limit in limits_of("{flops_per_byte: {min: 1.1}}")] == [
        Fraction(11, 10)
    ]


def test_an_absolute_increase_is_a_quantity_and_a_relative_one_a_share() -> None:
    limits = limits_of(
        "{macs: {max_increase: 5k, max_decrease: ' 5 % '}, weight_bytes: {max_increase: 1 KiB}}"
    )
    assert [(limit.relative, limit.value) for limit in limits] == [
        (False, 5000),
        (True, Fraction(1, 20)),
        (False, 1024),
    ]


# -- the matrix


def test_a_matrix_is_the_cross_product_in_the_order_of_the_file() -> None:
    entries = read(
        HEAD
        + "    name: net\n    set: {width: 2, depth: 7}\n    matrix: {width: [0.5, 1.0], resolution: [160, 224]}\n"
    ).entries
    assert [entry.name for entry in entries] == [
        "net[width=0.5,resolution=160]",
        "net[width=0.5,resolution=224]",
        "net[width=1.0,resolution=160]",
        "net[width=1.0,resolution=224]",
    ]
    assert entries[1].settings == {"width": 0.5, "depth": 7, "resolution": 224}


def test_a_matrix_may_vary_how_the_model_is_run() -> None:
    entries = read(
        HEAD
        + "    matrix: {input: [[1, 3, 32, 64], '2,3,8,8'], batch: [4], dtype: [int8, float32]}\n"
    ).entries
    assert [entry.name for entry in entries][:3] == [
        "m[input=1x3x32x64,batch=4,dtype=int8]",
        "m[input=1x3x32x64,batch=4,dtype=float32]",
        "m[input=2,3,8,8,batch=4,dtype=int8]",
    ]
    assert [(entry.input, entry.batch, entry.dtype) for entry in entries][1:3] == [
        ((1, 3, 32, 64), 4, "float32"),
        ((2, 3, 8, 8), 4, "int8"),
    ]
    assert all(entry.settings == {} for entry in entries)


def test_entries_replace_limits_of_some_choices_and_the_last_that_matches_holds() -> None:
    found = read(
        HEAD + "    limits: {macs: 10, params: 5}\n"
        "    matrix: {width: [0.5, 1.0, 2.0], resolution: [160, 224]}\n"
        "    entries:\n"
        "      - {match: {width: 0.5}, limits: {macs: 3}}\n"
        "      - {match: {resolution: 160}, limits: {macs: {max_increase: 0%}}}\n"
        "      - {match: {width: 0.5, resolution: 224}, limits: {macs: 4}}\n"
    ).entries
    sums = {
        tuple(entry.settings.values()): {
            f"{limit.metric} {limit.bound}": int(limit.value) for limit in entry.limits
        }
        for entry in found
    }
    assert sums == {
        (0.5, 160): {"params max": 5, "macs max": 3, "macs max_increase": 0},
        (0.5, 224): {"params max": 5, "macs max": 4},
        (1.0, 160): {"params max": 5, "macs max": 10, "macs max_increase": 0},
        (1.0, 224): {"params max": 5, "macs max": 10},
        (2.0, 160): {"params max": 5, "macs max": 10, "macs max_increase": 0},
        (2.0, 224): {"params max": 5, "macs max": 10},
    }


def test_true_is_not_one_but_one_is() -> None:
    text = "    matrix: {bias: [true, 1, 1.5]}\n    entries: [{match: {bias: %s}, limits: {macs: 3}}]\n"
    for value, name in (("true", "m[bias=True]"), ("1.0", "m[bias=1]")):
        assert [entry.name for entry in read(HEAD + text % value).entries if entry.limits] == [name]


def test_a_setting_that_sizes_the_input_knows_whether_the_input_is_the_models_own() -> None:
    head = "version: 1\ndefaults: {input: [1, 3, 8, 8]}\nmodels:\n  - target: m\n"
    assert one(head).input_is_default
    assert not one(head + "    input: [1, 3, 9, 9]\n").input_is_default
    assert not one(head + "    matrix: {input: [[1, 3, 9, 9]]}\n").input_is_default


# -- mistakes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the file
        pytest.param("", ["1:1: the file is empty"], id="empty"),
        pytest.param("# nothing\n", ["1:1: the file is empty"], id="nothing but a comment"),
        pytest.param("- 1\n", ["1:1: expected version, baseline, defaults, policy and so on by name, found a list"],
                     id="a list"),
        pytest.param("budget\n", ["1:1: expected version, baseline, defaults, policy and so on by name, found text"],
                     id="text"),
        pytest.param("{}\n", ["1:1: missing key 'models'", "1:1: missing key 'version'"], id="nothing in it"),
        pytest.param("version: 2\nmodels: [{target: m}]\n", ["1:10: expected version 1, found 2"], id="version 2"),
        pytest.param("version: '1'\nmodels: [{target: m}]\n", ["1:10: expected version 1, found '1'"], id="text 1"),
        pytest.param("version: true\nmodels: [{target: m}]\n", ["1:10: expected version 1, found True"],
                     id="version true"),
        pytest.param("version: 1.0\nmodels: [{target: m}]\n", ["1:10: expected version 1, found 1.0"],
                     id="version with a point"),
        pytest.param("version: [1]\nmodels: [{target: m}]\n", ["1:10: expected version 1, found [1]"], id="list"),
        pytest.param(HEAD + "modles: []\n", ["4:1: unknown key 'modles' (did you mean 'models'?)"], id="top key"),
        pytest.param(HEAD + "xyz: 1\n",
                     ["4:1: unknown key 'xyz' (known: version, baseline, defaults, policy, models, description)"],
                     id="unlike any key"),
        pytest.param(HEAD + "version: 1\n", ["4:1: duplicate key 'version' (first on line 1)"], id="duplicate top key"),
        pytest.param(HEAD + "baseline: 5\n", ["4:11: expected text, found a number"], id="baseline a number"),
        pytest.param(HEAD + "baseline: ''\n", ["4:11: expected text, found nothing"], id="baseline of nothing"),
        pytest.param(HEAD + "baseline:\n", ["4:10: expected text, found nothing"], id="baseline nothing"),
        pytest.param(HEAD + "description: [1]\n", ["4:14: expected text, found a list"], id="description a list"),
        # models
        pytest.param("version: 1\nmodels:\n", ["2:8: expected a list of models, found nothing"], id="models nothing"),
        pytest.param("version: 1\nmodels: []\n", ["2:9: expected a list of models, found nothing"], id="no model"),
        pytest.param("version: 1\nmodels: 0\n", ["2:9: expected a list of models, found a number"], id="models zero"),
        pytest.param("version: 1\nmodels: false\n", ["2:9: expected a list of models, found true or false"],
                     id="models false"),
        pytest.param("version: 1\nmodels: {a: 1}\n", ["2:9: expected a list of models, found a mapping"],
                     id="models mapping"),
        pytest.param("version: 1\nmodels:\n  - resnet18\n",
                     ["3:5: expected name, target, input, batch and so on by name, found text"], id="model text"),
        pytest.param("version: 1\nmodels:\n  - name: a\n    limits: {}\n", ["3:5: missing key 'target'"], id="naked"),
        pytest.param("version: 1\nmodels:\n  - target: 5\n", ["3:13: expected text, found a number"], id="number"),
        pytest.param("version: 1\nmodels:\n  - target:\n", ["3:12: expected text, found nothing"], id="target nothing"),
        pytest.param(HEAD + "    tagret: x\n", ["4:5: unknown key 'tagret' (did you mean 'target'?)"], id="model key"),
        pytest.param(HEAD + "    target: x\n", ["4:5: duplicate key 'target' (first on line 3)"], id="two targets"),
        pytest.param(HEAD + "  - target: m\n  - {target: x, name: m}\n",
                     ["4:5: duplicate model 'm', first on line 3", "5:5: duplicate model 'm', first on line 3"],
                     id="duplicate names"),
        pytest.param(HEAD + "    matrix: {width: [1, 1]}\n", ["3:5: duplicate model 'm[width=1]', first on line 3"],
                     id="a value twice"),
        # how they are run
        pytest.param(HEAD + "    input: [1, 3, 0, 8]\n",
                     [f"4:12: {SHAPE}, found [1, 3, 0, 8]"], id="input zero"),
        pytest.param(HEAD + "    input: [1, 3, true, 8]\n",
                     [f"4:12: {SHAPE}, found [1, 3, True, 8]"], id="input true"),
        pytest.param(HEAD + "    input: 1,3,x\n",
                     [f"4:12: {SHAPE}, found '1,3,x'"], id="input text"),
        pytest.param(HEAD + "    input: {}\n", [f"4:12: {SHAPE}, found {{}}"], id="input of nothing"),
        pytest.param(HEAD + "    input: {a: b=1}\n", [f"4:16: {SHAPE}, found 'b=1'"], id="input named twice"),
        pytest.param(HEAD + "    input: {a b: [1]}\n", ["4:13: expected the name of an input, found 'a b'"],
                     id="input with a space in its name"),
        pytest.param(HEAD + "    input: [[1, 3], 5]\n", [f"4:12: {SHAPE}, found [[1, 3], 5]"], id="a number too"),
        pytest.param(HEAD + "    input: [[1, 3], [0]]\n", [f"4:21: {SHAPE}, found [0]"], id="one input wrong"),
        pytest.param(HEAD + "    input: ['a=1', 'a=2']\n", ["4:12: two inputs are called 'a'"], id="one name"),
        pytest.param(HEAD + "    input: ids=1,8:int46\n", ["4:12: unknown dtype 'int46' (did you mean 'int64'?)"],
                     id="input dtype"),
        pytest.param(HEAD + "    input: 1e6\n",
                     [f"4:12: {SHAPE}, found 1000000.0"], id="input a number"),
        pytest.param(HEAD + "    batch: 0\n", ["4:12: expected a whole number above 0, found 0"], id="batch 0"),
        pytest.param(HEAD + "    batch: true\n", ["4:12: expected a whole number above 0, found True"], id="true"),
        pytest.param(HEAD + "    batch: [1]\n", ["4:12: expected a whole number above 0, found [1]"], id="batch list"),
        pytest.param(HEAD + "    dtype: flaot16\n", ["4:12: unknown dtype 'flaot16' (did you mean 'float16'?)"],
                     id="dtype"),
        pytest.param(HEAD + "    dtype: [float16]\n", ["4:12: unknown dtype '['float16']' (did you mean 'float16'?)"],
                     id="dtype list"),
        pytest.param(HEAD + "    set: 5\n",
                     ["4:10: expected names with values, such as {width: 0.5}, found a number"], id="set number"),
        pytest.param(HEAD + "    kwargs: [a]\n",
                     ["4:13: expected names with values, such as {width: 0.5}, found a list"], id="kwargs list"),
        # limits
        pytest.param(HEAD + "    limits: 5\n",
                     ["4:13: expected params, macs, flops, weight_bytes and so on by name, found a number"],
                     id="limits number"),
        pytest.param(HEAD + "    limits: {marcs: 5}\n", ["4:14: unknown metric 'marcs' (did you mean 'macs'?)"],
                     id="metric"),
        pytest.param(HEAD + "    limits: {macs: 5, macs: 6}\n", ["4:23: duplicate key 'macs' (first on line 4)"],
                     id="metric twice"),
        pytest.param(HEAD + "    limits: {macs: 600m}\n",
                     [f"4:20: {QUANTITY} 600M, 1.5G or 4_231_976, found '600m': unknown unit 'm' (did you mean 'M'?)"],
                     id="unit"),
        pytest.param(HEAD + "    limits: {macs: -5}\n",
                     [f"4:20: {QUANTITY} 600M, 1.5G or 4_231_976, found '-5'"], id="negative"),
        pytest.param(HEAD + "    limits: {macs: true}\n",
                     [f"4:20: {QUANTITY} 600M, 1.5G or 4_231_976, found True"], id="true"),
        pytest.param(HEAD + "    limits: {macs: .inf}\n",
                     ["4:20: numbers must be finite, found .inf"], id="infinite"),
        pytest.param(HEAD + "    limits: {macs: .nan}\n",
                     ["4:20: numbers must be finite, found .nan"], id="not a number"),
        pytest.param(HEAD + "    limits: {macs: 1e999}\n",
                     ["4:20: numbers must be finite, found 1e999"], id="too large"),
        pytest.param(HEAD + "    limits: {macs: [5]}\n",
                     [f"4:20: {QUANTITY} 600M, 1.5G or 4_231_976, found [5]"], id="a list of limits"),
        pytest.param(HEAD + f"    limits: {{macs: {list(range(999))}}}\n",
                     [f"4:20: {QUANTITY} 600M, 1.5G or 4_231_976, found {str(list(range(99)))[:60]}"],
                     id="a long list"),
        pytest.param(HEAD + "    limits: {macs: }\n", [f"4:20: {QUANTITY} 600M, 1.5G or 4_231_976, found nothing"],
                     id="a limit of nothing"),
        pytest.param(HEAD + "    limits: {weight_bytes: 17}\n",
                     [f"4:28: {QUANTITY} 17 MiB or 17 MB, found '17': it lacks a unit"], id="bytes without a unit"),
        pytest.param(HEAD + "    limits: {latency_s: 0.012}\n",
                     [f"4:25: {QUANTITY} 12 ms, found '0.012': it lacks a unit"], id="time without a unit"),
        pytest.param(HEAD + "    limits: {macs: {}}\n",
                     ["4:20: a limit has one of max, min, max_increase, max_decrease"], id="no bound"),
        pytest.param(HEAD + "    limits: {macs: {level: warn}}\n",
                     ["4:20: a limit has one of max, min, max_increase, max_decrease"], id="a level alone"),
        pytest.param(HEAD + "    limits: {macs: {maxx: 5}}\n",
                     ["4:20: a limit has one of max, min, max_increase, max_decrease",
                      "4:21: unknown key 'maxx' (did you mean 'max'?)"], id="bound"),
        pytest.param(HEAD + "    limits:\n      macs:\n        max: 5\n        max: 6\n",
                     ["7:9: duplicate key 'max' (first on line 6)"], id="bound twice"),
        pytest.param(HEAD + "    limits: {macs: {max: 1G, level: off}}\n",
                     ["4:37: unknown level 'off' (known: error, warn, ignore)"], id="level off"),
        pytest.param(HEAD + "    limits: {macs: {max: 1G, level: wran}}\n",
                     ["4:37: unknown level 'wran' (did you mean 'warn'?)"], id="level"),
        pytest.param(HEAD + "    limits: {macs: {max: 1G, level: true}}\n",
                     ["4:37: unknown level 'True' (known: error, warn, ignore)"], id="level true"),
        pytest.param(HEAD + "    limits: {macs: {max: 1G, level: {a: b}}}\n",
                     ["4:37: unknown level '{'a': 'b'}' (known: error, warn, ignore)"], id="level mapping"),
        pytest.param(HEAD + "    limits: {macs: {max: 1G, tolerance: 5%}}\n",
                     ["4:30: macs has no noise: a tolerance is for measured figures"], id="tolerance of counts"),
        pytest.param(HEAD + "    limits: {latency_s: {max: 1 ms, tolerance: 0.1}}\n",
                     [f"4:48: {QUANTITY} 5%, found '0.1': it lacks a unit"], id="tolerance without percent"),
        pytest.param(HEAD + "    limits: {macs: {max: 1, min: 2}}\n", ["4:34: min is above max: nothing passes"],
                     id="min above max"),
        pytest.param(HEAD + "    limits: {macs: {max: 5%}}\n",
                     [f"4:26: {QUANTITY} 600M, 1.5G or 4_231_976, found '5%': "
                      "a percentage is of the baseline, write max_increase: 5%"], id="max a share"),
        pytest.param(HEAD + "    limits: {macs: {min: +5 %}}\n",
                     [f"4:26: {QUANTITY} 600M, 1.5G or 4_231_976, found '+5 %': "
                      "a percentage is of the baseline, write max_decrease: 5 %"], id="min a share"),
        pytest.param(HEAD + "    limits: {weight_bytes: 5%}\n",
                     [f"4:28: {QUANTITY} 17 MiB or 17 MB, found '5%': "
                      "a percentage is of the baseline, write max_increase: 5%"], id="a share alone"),
        pytest.param(HEAD + "    limits: {macs: {max_increase: +5%}}\n",
                     [f"4:35: {QUANTITY} 5%, found '+5%': write it without the sign"], id="a share with a sign"),
        pytest.param(HEAD + "    limits: {latency_s: {max: 5%}}\n",
                     [f"4:31: {QUANTITY} 12 ms, found '5%': unknown unit '%'"], id="latency a share"),
        pytest.param(HEAD + "    limits: {macs: {max_increase: 0.05}}\n",
                     ["4:35: macs are whole numbers, found 0.05; did you mean '5%'?"], id="a share as a fraction"),
        pytest.param(HEAD + "    limits: {macs: 1.5}\n", ["4:20: macs are whole numbers, found 1.5"], id="a fraction"),
        pytest.param(HEAD + "    limits: {params: 12 MB}\n",
                     [f"4:22: {QUANTITY} 600M, 1.5G or 4_231_976, found '12 MB': "
                      "params is a count, write 12M; for bytes use weight_bytes"], id="bytes of params"),
        pytest.param(HEAD + "    limits: {macs: {max_increase: 1_000 KiB}}\n",
                     [f"4:35: {QUANTITY} 600M, 1.5G or 4_231_976, found '1_000 KiB': macs is a count, write 1_000K"],
                     id="bytes of macs"),
        pytest.param(HEAD + "    limits: {params: 12 B}\n",
                     [f"4:22: {QUANTITY} 600M, 1.5G or 4_231_976, found '12 B': "
                      "params is a count, write 12; for bytes use weight_bytes"], id="single bytes of params"),
        pytest.param(HEAD + "    limits: {macs: {max: 1, ignore_below: 5}}\n",
                     ["4:29: ignore_below is for max_increase and max_decrease"], id="ignore_below of max"),
        pytest.param(HEAD + "    limits: {macs: {max_increase: 1%, ignore_below: 5%}}\n",
                     [f"4:53: {QUANTITY} 600M, 1.5G or 4_231_976, found '5%': unknown unit '%'"],
                     id="ignore_below a share"),
        pytest.param(HEAD + "    limits: {macs: {max_increase: -1%}}\n", [f"4:35: {QUANTITY} 5%, found '-1%'"],
                     id="negative share"),
        pytest.param(HEAD + "    limits: {macs: {max: 1, message: 5}}\n", ["4:38: expected text, found a number"],
                     id="message"),
        pytest.param(HEAD + "    limits: {latency_s: {max_increase: 5%}}\n",
                     ["4:25: a baseline keeps no times, so latency_s has max or min"], id="growth of latency"),
        # the matrix
        pytest.param(HEAD + "    matrix: [1]\n",
                     ["4:13: expected lists of values by setting, such as {width: [0.5, 1.0]}, found a list"],
                     id="matrix list"),
        pytest.param(HEAD + "    matrix: {}\n", ["4:13: the matrix is empty"], id="matrix empty"),
        pytest.param(HEAD + "    matrix: {width: 0.5}\n",
                     ["4:21: expected a list of values such as [0.5, 1.0], found a number"], id="matrix value"),
        pytest.param(HEAD + "    matrix: {width: []}\n",
                     ["4:21: expected a list of values such as [0.5, 1.0], found nothing"], id="matrix of no values"),
        pytest.param(HEAD + f"    matrix: {{a: {list(range(40))}, b: {list(range(40))}}}\n",
                     ["4:13: 1,600 entries are too many; at most 1,000"], id="matrix too large"),
        pytest.param(HEAD + "    matrix: {batch: [1, 0]}\n", ["4:25: expected a whole number above 0, found 0"],
                     id="batch in the matrix"),
        pytest.param(HEAD + "    matrix: {batch: [[1]]}\n", ["4:22: expected a whole number above 0, found [1]"],
                     id="list as a batch"),
        pytest.param(HEAD + "    matrix: {dtype: [int8, itn8]}\n", ["4:28: unknown dtype 'itn8' "
                     "(did you mean 'int8'?)"], id="dtype in the matrix"),
        pytest.param(HEAD + "    matrix: {input: [[1, [3], 8, 8]]}\n",
                     [f"4:22: {SHAPE}, found [1, [3], 8, 8]"],
                     id="input in the matrix"),
        pytest.param(HEAD + "    entries: [{match: {a: 1}, limits: {}}]\n",
                     ["4:5: entries need a matrix to choose from"], id="entries alone"),
        pytest.param(HEAD + "    matrix: {a: [1]}\n    entries: [{match: {a: 2}, limits: {macs: 1}}]\n",
                     ["5:15: no entry of the matrix has these values"], id="entries of nothing"),
        pytest.param(HEAD + "    matrix: {width: [1]}\n    entries: [{match: {widht: 1}, limits: {macs: 1}}]\n",
                     ["5:24: unknown key 'widht' (did you mean 'width'?)"], id="entries by another key"),
        pytest.param(HEAD + "    matrix: {width: [1]}\n    entries: [{match: {}, limits: {macs: 1}}]\n",
                     ["5:23: expected values of width, found nothing"], id="entries by no key"),
        pytest.param(HEAD + "    matrix: {width: [1]}\n    entries: [{limits: {macs: 1}}]\n",
                     ["5:15: missing key 'match'"], id="entries without match"),
        pytest.param(HEAD + "    matrix: {width: [1]}\n    entries: {}\n",
                     ["5:14: expected a list of entries, found a mapping"], id="entries mapping"),
        # layers
        pytest.param(HEAD + "    layers: [{match: x}]\n",
                     ["4:14: a rule on layers has 'each' or 'total', or both"], id="rule without limits"),
        pytest.param(HEAD + "    layers: [{match: a, each: {macs: 1}, total: {}}, {match: b, each: {}}]\n",
                     ["4:49: expected a limit by metric, such as {macs: 40M}, found nothing",
                      "4:71: expected a limit by metric, such as {macs: 40M}, found nothing"], id="rules of no limits"),
        pytest.param(HEAD + "    layers: [{each: {macs: 1}}]\n", ["4:14: missing key 'match'"], id="no match"),
        pytest.param(HEAD + "    layers: [{match: 'type:', each: {macs: 1}}]\n",
                     ["4:22: expected a pattern such as layer1.*, type:Conv2d or type:Conv2d[groups=1,kernel>1], "
                      "found 'type:'"], id="no pattern"),
        pytest.param(HEAD + "    layers: [{match: 'a[gruops=1]', each: {macs: 1}}]\n",
                     ["4:22: unknown field of a convolution 'gruops' (did you mean 'groups'?)"], id="unknown field"),
        pytest.param(HEAD + "    layers: [{match: 5, each: {macs: 1}}]\n",
                     ["4:22: expected a pattern such as layer1.*, type:Conv2d or type:Conv2d[groups=1,kernel>1], "
                      "found 5"], id="pattern a number"),
        pytest.param(HEAD + "    layers: [{match: x, each: {latency_s: 1 ms}}]\n",
                     ["4:32: unknown metric 'latency_s' (known: params, macs, flops, weight_bytes, input_bytes, "
                      "output_bytes, traffic_bytes, flops_per_byte, activations)"], id="latency of layers"),
        pytest.param(HEAD + "    layers: [{match: x, total: {peak_activation_bytes: 1 kB}}]\n",
                     ["4:33: unknown metric 'peak_activation_bytes' (did you mean 'activations'?)"],
                     id="peak of layers"),
        pytest.param(HEAD + "    layers: [{match: x, total: {weight_bytes: {max_increase: 1%}}}]\n",
                     ["4:47: a baseline keeps only params, macs, flops of layers, so weight_bytes has max or min"],
                     id="growth of a figure of layers that is not kept"),
        pytest.param(HEAD + "    layers: x\n", ["4:13: expected a list of layers, found text"], id="layers text"),
        pytest.param(HEAD + "    exclude: [{match: x}]\n", ["4:15: missing key 'reason'"], id="no reason"),
        pytest.param(HEAD + "    exclude: [{match: x, reason: ''}]\n", ["4:34: expected text, found nothing"],
                     id="empty reason"),
        pytest.param(HEAD + "    exclude: [x]\n", ["4:15: expected match, reason and so on by name, found text"],
                     id="exclude text"),
        # policy and defaults
        pytest.param(HEAD + "policy: {on_unmatched: error}\n",
                     ["4:10: unknown key 'on_unmatched' (did you mean 'on_unmatched_rule'?)"], id="policy"),
        pytest.param(HEAD + "policy: {on_improvement: warn}\n", ["4:26: unknown policy 'warn' (known: note, ignore)"],
                     id="policy word"),
        pytest.param(HEAD + "policy: {on_missing_baseline: off}\n",
                     ["4:31: unknown policy 'off' (known: error, warn, ignore)"], id="policy off"),
        pytest.param(HEAD + "policy: error\n",
                     ["4:9: expected on_missing_baseline, on_stale_baseline, on_unmatched_rule, on_unknown_cost "
                      "and so on by name, found text"], id="policy text"),
        pytest.param(HEAD + "defaults: {target: x}\n",
                     ["4:12: unknown key 'target' (known: input, batch, dtype, limits)"], id="target in defaults"),
        pytest.param("version: 1\ndefaults: {batch: 0, limits: {macs: x}}\nmodels:\n  - {target: a, batch: 1}\n"
                     "  - {target: b, batch: 1}\n",
                     ["2:19: expected a whole number above 0, found 0",
                      f"2:37: {QUANTITY} 600M, 1.5G or 4_231_976, found 'x'"],
                     id="defaults that every model replaces"),
        # YAML
        pytest.param("version: 1\nmodels: [\n",
                     ["3:1: not valid YAML: while parsing a flow node, did not find expected node content"],
                     id="bad YAML"),
        pytest.param(HEAD + "    ? [a, b]\n    : 1\n", ["4:7: a key must be a word"], id="a list as a key"),
        pytest.param(HEAD + "    ? {a: b}\n    : 1\n", ["4:7: a key must be a word"], id="a mapping as a key"),
        pytest.param(HEAD + "    1: 2\n",
                     ["4:5: unknown key '1' (known: name, target, input, batch, dtype, set, kwargs, trust, matrix, "
                      "limits, entries, layers, exclude, policy)"], id="a number as a key"),
        pytest.param(HEAD + "    name: !!python/name:os.system x\n",
                     ["4:11: tags are not supported, found 'tag:yaml.org,2002:python/name:os.system'"], id="a tag"),
    ],
)  # fmt: skip
def test_every_mistake_has_its_place(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    assert problems(
        "version: 3\n"
        "basline: x\n"
        "defaults: {input: x, limits: {params: 5q}}\n"
        "policy: {on_improvement: shout}\n"
        "models:\n"
        "  - limits:\n"
        "      macs: {max: 1G, levl: warn, level: off}\n"
        "      macs: 1\n"
        "    layers: [{match: x}]\n"
        "  - target: m\n"
        "    dtype: x\n"
        "  - target: m\n"
    ) == [
        "1:10: expected version 1, found 3",
        "2:1: unknown key 'basline' (did you mean 'baseline'?)",
        f"3:19: {SHAPE}, found 'x'",
        "3:39: expected a quantity such as 600M, 1.5G or 4_231_976, found '5q': unknown unit 'q'",
        "4:26: unknown policy 'shout' (known: note, ignore)",
        "6:5: missing key 'target'",
        "7:23: unknown key 'levl' (did you mean 'level'?)",
        "7:42: unknown level 'off' (known: error, warn, ignore)",
        "8:7: duplicate key 'macs' (first on line 7)",
        "9:14: a rule on layers has 'each' or 'total', or both",
        "11:12: unknown dtype 'x' (known: float64, float32, float16, bfloat16, int8)",
        "12:5: duplicate model 'm', first on line 10",
    ]


def test_what_is_not_utf8_names_its_line() -> None:
    assert problems(b"version: 1\nbaseline: \xff\n") == ["2:1: not UTF-8 text"]


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake() -> None:
    assert read(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode()).entries[0].target == "m"


@pytest.mark.parametrize("name", ["no/such.yaml", "."])
def test_a_file_that_cannot_be_read_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^cannot read .*: (No such file or directory|Is a directory)$"
    ):
        read_budget(tmp_path / name)


# -- anything at all

_WORDS = st.sampled_from(
    sorted(
        {
            *BUDGET.forms,
            *MODEL.forms,
            *LIMIT_KEYS,
            *("match", "each", "total", "allow_empty", "reason"),
            *POLICIES,
        }
    )
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [
            "600M",
            "5%",
            "17 MiB",
            "12 ms",
            "off",
            "type:Conv2d[kernel>1]",
            "a[",
            "1,3,8,8",
            "int8",
            "é\n",
        ]
    )
    | st.sampled_from([*LEVELS, *BOUNDS, *FIGURES])
    | st.text(max_size=8)
)
_BY_OTHERS = [
    "macs@fvcore",
    "macs@fvcore-0.1.5",
    "macs@",
    "macs@no.yaml",
    "params@fvcore",
    "macs@\0.yaml",
]
_METRICS = st.sampled_from([*sorted(FIGURES), *_BY_OTHERS])
_KEYS = _WORDS | _METRICS | st.text(max_size=5)
_ANYTHING = st.recursive(
    _SCALARS,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(_KEYS, children, max_size=5),
    max_leaves=25,
)


def _near_misses() -> st.SearchStrategy[dict[str, Any]]:
    limits = st.dictionaries(
        _METRICS,
        _ANYTHING | st.dictionaries(st.sampled_from(LIMIT_KEYS), _SCALARS, max_size=5),
        max_size=3,
    )
    selected = st.fixed_dictionaries(
        {"match": _SCALARS},
        optional={"each": limits, "total": limits, "reason": _SCALARS, "limits": limits},
    )
    model = st.fixed_dictionaries(
        {"target": st.just("m") | _SCALARS},
        optional={
            "limits": limits,
            "layers": st.lists(selected, max_size=2),
            "exclude": st.lists(selected, max_size=2),
            "matrix": st.dictionaries(_KEYS, st.lists(_ANYTHING, max_size=3), max_size=3),
            "entries": st.lists(
                st.fixed_dictionaries(
                    {"match": st.dictionaries(_KEYS, _ANYTHING, max_size=2), "limits": limits}
                ),
                max_size=2,
            ),
            "input": _ANYTHING,
            "set": _ANYTHING,
        },
    )
    return st.fixed_dictionaries(
        {"version": st.just(1), "models": st.lists(model | _ANYTHING, max_size=3)},
        optional={"defaults": _ANYTHING, "policy": _ANYTHING, "baseline": _ANYTHING},
    )


@law
@given(_ANYTHING | _near_misses())
def test_any_yaml_is_a_budget_or_a_list_of_mistakes_inside_the_file(document: Any) -> None:
    text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    lines = len(text.splitlines()) + 1
    try:
        budget = read(text)
    except FileProblems as error:
        places = [(problem.line, problem.column) for problem in error.problems]
    else:
        assert budget.entries
        places = [limit.place for entry in budget.entries for limit in entry.limits]
    assert all(1 <= line <= lines and column >= 1 for line, column in places)


@law
@given(st.text(max_size=200))
def test_any_text_is_a_budget_or_a_list_of_mistakes(text: str) -> None:
    with pytest.raises(FileProblems):
        read(text.encode("utf-8", errors="replace"))
