import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import event, given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from properties import law

import dscost
from dscost.budgets.reading import read_budget
from dscost.budgets.records import BOUNDS, LEVELS, POLICIES
from dscost.cli import run
from dscost.converting.plan_file import plan_in
from dscost.devices.sheets import read_device
from dscost.errors import FileProblems, InputError, UnknownNameError
from dscost.networks import language as architectures
from dscost.networks.forms import LISTS
from dscost.networks.keys import LAYERS
from dscost.notation.forms import quantity
from dscost.notation.marked_yaml import Problems, parse_yaml, read_yaml
from dscost.notation.quantities import QUANTITIES, parse_quantity
from dscost.reports.figures import FIGURES
from dscost.reports.records import REPORT_KEYS, document
from dscost.schemas import SCHEMAS, schema

ROOT = Path(__file__).parent.parent
Schema = dict[str, Any]

BUDGET, REPORT, ARCHITECTURE = (
    Draft7Validator(schema(name)) for name in ("budget", "report", "architecture")
)


TITLES = {
    "architecture": "An architecture of dscost",
    "budget": "A budget of dscost",
    "convention": "A convention of dscost",
    "comparison": "A comparison of dscost",
    "conversion": "A conversion of dscost",
    "device": "A device of dscost",
    "plan": "A plan of dscost",
    "report": "A report of dscost",
    "sweep": "A sweep of dscost",
    "swept": "What a sweep of dscost says",
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_of_draft_7(name: str) -> None:
    found = schema(name)
    Draft7Validator.check_schema(found)
    assert found["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert found["title"] == TITLES[name]
    json.dumps(found, allow_nan=False)


def test_an_unknown_schema_is_named_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown schema 'budgte' \(did you mean 'budget'\?\)"
    ):
        schema("budgte")
    assert run(["schema", "budgte"]) == 2
    assert capsys.readouterr().err == "dscost: unknown schema 'budgte' (did you mean 'budget'?)\n"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_command_prints_the_schema_or_writes_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["schema", name]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == schema(name)
    assert run(["schema", name, "-o", str(tmp_path / "schema.json")]) == 0
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == printed


def test_a_schema_is_made_without_torch() -> None:
    code = "import sys, dscost.schemas as s; [s.schema(n) for n in s.SCHEMAS]; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def keys_of(found: Schema) -> set[str]:
    return set(found["properties"])


def parts(found: Any) -> Iterator[Schema]:
    if isinstance(found, dict):
        yield found
        for value in found.values():
            yield from parts(value)
    elif isinstance(found, list):
        for value in found:
            yield from parts(value)


# -- budgets

LIMITED = "version: 1\nmodels:\n  - target: resnet18\n    limits: {%s}\n"
WITH = "version: 1\nmodels:\n  - target: resnet18\n    %s\n"


def accepted_by_the_parser(text: str, folder: Path) -> bool:
    path = folder / "dscost.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        read_budget(path)
    except FileProblems:
        return False
    return True


def accepted_by_the_schema(text: str) -> bool:
    return BUDGET.is_valid(parse_yaml(text, "dscost.yaml").plain)


RIGHT = {
    "a quantity": LIMITED % "params: 11.7M",
    "a number": LIMITED % "params: 11689512",
    "underscores": LIMITED % "params: 11_689_512",
    "an exponent": LIMITED % "macs: 1e9",
    "bytes": LIMITED % "weight_bytes: 17 MiB",
    "a time": LIMITED % "latency_s: {max: 12 ms, tolerance: 5%, level: error}",
    "a factor": LIMITED % "flops_per_byte: {min: 2.5}",
    "growth in percent": LIMITED % "macs: {max_increase: 1 %, ignore_below: 100k}",
    "growth as a quantity": LIMITED % "macs: {max_increase: 2M, max_decrease: 50%}",
    "every bound": LIMITED
    % "macs: {max: 2G, min: 1G, max_increase: 0%, max_decrease: 0, message: too much}",
    "no limits": LIMITED % "",
    "an input as text": WITH % "input: 1,3,64,64",
    "settings": WITH % "set: {width: 0.5, blocks: [1, 2]}",
    "a matrix": WITH
    % "matrix: {width: [0.5, 1.0], batch: [1, 8], input: [[1, 3, 32, 32]], dtype: [float16]}",
    "entries": WITH
    % "matrix: {width: [1]}\n    entries: [{match: {width: 1}, limits: {macs: 1M}}]",
    "layers by name": WITH % 'layers: [{match: "layer1.*", each: {macs: 1M}}]',
    "layers by kind": WITH
    % 'layers: [{match: "type:Conv2d[groups=1, kernel>=3,bias=true]", total: {params: 0}}]',
    "all layers": WITH % 'layers: [{match: "*[stride!=1]", total: {params: 0}}]',
    "exclusions": WITH % 'exclude: [{match: "op:linear", reason: none of our business}]',
    "policies": "policy: {on_unloadable_model: warn, on_improvement: ignore}\n" + LIMITED % "",
    "inputs of several kinds": WITH % "input: [[1, 3], '1,3', 'ids=1,128:int64', '1,128:bool']",
    "an input with a name": WITH % "input: ids=1,128:int64",
    "inputs by name": WITH % "input: {ids: '1,128:int64', mask: [1, 128]}",
    "inputs of a matrix": WITH % "matrix: {input: [[1, 3], ['a=1,3', '1'], {a: [1]}]}",
    "bytes of layers": WITH
    % 'layers: [{match: "a", each: {weight_bytes: {max: 1 KiB, min: 1 B}}}]',
    "growth of layers": WITH
    % 'layers: [{match: "a", each: {macs: {max_increase: 0%, ignore_below: 1k}}}]',
    "a whole float": LIMITED % "macs: 2.0",
    "a saved report": "version: 1\ndefaults: {input: [1]}\nmodels: [{target: report.json, limits: {macs: 1M}}]",
    "a factory with an input": "version: 1\nmodels: [{target: 'json:make', input: [1]}]",
    "all of the top": "baseline: b.json\ndescription: mine\ndefaults: {batch: 2, limits: {macs: 1G}}\n"
    + LIMITED % "",
}

WRONG = {
    "an unknown key": WITH % "limts: {}",
    "an unknown key of the top": "modles: []\n" + LIMITED % "",
    "no version": "models: [{target: resnet18}]",
    "another version": "version: 2\nmodels: [{target: resnet18}]",
    "no models": "version: 1",
    "no model": "version: 1\nmodels: []",
    "no target": "version: 1\nmodels: [{name: a}]",
    "a target that is none": "version: 1\nmodels: [{target: [a]}]",
    "a blank target": 'version: 1\nmodels: [{target: " "}]',
    "a list as the file": "[1, 2]",
    "an unknown metric": LIMITED % "prams: 1M",
    "an unknown unit": LIMITED % "params: 1Q",
    "a missing unit": LIMITED % "weight_bytes: 17",
    "a time without a unit": LIMITED % "latency_s: {max: 12}",
    "bytes of a count": LIMITED % "params: 17 MiB",
    "a negative number": LIMITED % "params: -1",
    "a truth": LIMITED % "params: true",
    "nothing": LIMITED % "params: null",
    "no bound": LIMITED % "macs: {level: warn}",
    "an unknown level": LIMITED % "macs: {max: 1G, level: off}",
    "an unknown key of a limit": LIMITED % "macs: {maxx: 1G}",
    "a tolerance of what has no noise": LIMITED % "macs: {max: 1G, tolerance: 5%}",
    "growth of a time": LIMITED % "latency_s: {max_increase: 5%}",
    "ignore_below without growth": LIMITED % "macs: {max: 1G, ignore_below: 1k}",
    "a blank message": LIMITED % 'macs: {max: 1G, message: ""}',
    "a peak of layers": WITH % 'layers: [{match: "a", each: {peak_activation_bytes: 1 MiB}}]',
    "a rule without limits": WITH % 'layers: [{match: "a"}]',
    "a rule of no limits on each": WITH % 'layers: [{match: "a", each: {}}]',
    "a rule of no limits on the sum": WITH % 'layers: [{match: "a", each: {macs: 1M}, total: {}}]',
    "a rule without layers": WITH % "layers: [{each: {macs: 1M}}]",
    "an empty list of rules": WITH % "layers: []",
    "an unknown condition": WITH % 'layers: [{match: "type:Conv2d[kernl=1]", each: {macs: 1M}}]',
    "a condition that is none": WITH % 'layers: [{match: "type:Conv2d[groups]", each: {macs: 1M}}]',
    "a kind without a pattern": WITH % 'layers: [{match: "type:", each: {macs: 1M}}]',
    "a bracket too many": WITH % 'layers: [{match: "a[groups=1]]", each: {macs: 1M}}]',
    "an exclusion without a reason": WITH % 'exclude: [{match: "a"}]',
    "an input of text": WITH % "input: large",
    "an input with a zero": WITH % "input: [1, 0]",
    "an input that is empty": WITH % "input: []",
    "a batch of zero": WITH % "batch: 0",
    "an unknown dtype": WITH % "dtype: float31",
    "settings that are a list": WITH % "set: [1]",
    "entries without a matrix": WITH % "entries: [{match: {a: 1}, limits: {}}]",
    "an empty matrix": WITH % "matrix: {}",
    "a matrix of values": WITH % "matrix: {width: 1}",
    "a description that is none": "description: 5\n" + LIMITED % "",
    "a blank description": "description: ' '\n" + LIMITED % "",
    "growth of bytes of layers": WITH
    % 'layers: [{match: "a", each: {weight_bytes: {max_increase: 0%}}}]',
    "growth of all bytes of layers": WITH
    % 'layers: [{match: "a", total: {traffic_bytes: {max_decrease: 0%}}}]',
    "ignore_below of bytes of layers": WITH
    % 'layers: [{match: "a", each: {input_bytes: {ignore_below: 1 B}}}]',
    "a fraction of a count": LIMITED % "macs: 1.5",
    "a fraction of growth": LIMITED % "macs: {max_increase: 0.05}",
    "an unknown dtype of an input": WITH % "input: ids=1,128:int46",
    "a name without a shape": WITH % "input: ids=",
    "an input of a zero in text": WITH % "input: 1,00",
    "an input of too many digits": WITH % "input: '1,1234567890123456'",
    "an input named twice": WITH % "input: {ids: 'mask=1,128'}",
    "an input with a bad name": WITH % "input: {'1a': [1]}",
    "an empty mapping of inputs": WITH % "input: {}",
    "a number among inputs": WITH % "input: ['1,3', 3]",
    "an input of a saved report": "version: 1\nmodels: [{target: report.json, input: [1]}]",
    "settings of one of several saved reports": "version: 1\nmodels: [{target: 'a.json:b', set: {}}]",
    "an unknown policy": "policy: {on_mising_baseline: warn}\n" + LIMITED % "",
    "an unknown word of a policy": "policy: {on_improvement: error}\n" + LIMITED % "",
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_parser_and_schema_accept(text: str, tmp_path: Path) -> None:
    assert accepted_by_the_parser(text, tmp_path)
    assert [error.message for error in BUDGET.iter_errors(parse_yaml(text, "x").plain)] == []


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_parser_and_schema_refuse(text: str, tmp_path: Path) -> None:
    assert not accepted_by_the_parser(text, tmp_path)
    assert not accepted_by_the_schema(text)


ONLY_THE_PARSER = (
    "duplicate model",
    "two inputs are called",
    "min is above max",
    "are whole numbers",  # of a count in quotes
    "no entry of the matrix has these values",
    "unknown key",  # of an entry, those of its matrix
    "entries are too many",
)
"""What the parser refuses and no schema can."""

_QUANTITIES = st.sampled_from(
    [
        5,
        0,
        -1,
        1.5,
        2.0,
        True,
        None,
        "5",
        "5%",
        " 5 % ",
        "1.5k",
        "0.1",
        "600M",
        "17 MiB",
        "12 ms",
        "1e9",
        "2x",
        "",
        "5q",
    ]
)
_BESIDE = {
    "level": st.sampled_from(["warn", "off", True]),
    "message": st.sampled_from(["a", " ", 5]),
}
_LIMITS = st.dictionaries(
    st.sampled_from([*FIGURES, "prams"]),
    _QUANTITIES
    | st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("ignore_below", "tolerance", *BOUNDS), _QUANTITIES),
            **_BESIDE,
        },
    ),
    max_size=2,
)
_SHAPES = st.sampled_from(
    [
        [1, 3],
        [0],
        [True],
        [1.5],
        [],
        "1,3",
        " 1, 3 ",
        "1,,3",
        "1,0",
        "a=1,3:int64",
        "1:int46",
        "é=1",
        "a=",
        "",
        5,
        None,
    ]
)
_INPUTS = (
    _SHAPES
    | st.lists(_SHAPES, max_size=3)
    | st.dictionaries(st.sampled_from(["a", "b", "1", "c d"]), _SHAPES)
)
_MATCH = st.sampled_from(
    [
        "a.*",
        "type:Conv2d[groups=1, kernel>1]",
        "op:linear",
        "type:",
        "",
        "a[",
        "a[groups]",
        "a[kernl=1]",
        "*[bias=true]",
        5,
    ]
)
_VALUES = st.sampled_from([{}, {"width": 0.5}, [1], None, "a"])
_TEXTS = st.sampled_from(["m", "report.json", "r.json:a", "json", " ", "", 5, None])
_RUNS: dict[str, Any] = {
    "input": _INPUTS,
    "batch": st.sampled_from([1, 0, "1", True, 1.5]),
    "dtype": st.sampled_from(["float16", "float31", 5]),
}
_MODELS = st.fixed_dictionaries(
    {},
    optional={
        "target": _TEXTS,
        "name": _TEXTS,
        **_RUNS,
        "set": _VALUES,
        "kwargs": _VALUES,
        "matrix": st.dictionaries(
            st.sampled_from(["width", "input", "batch"]), st.lists(_SHAPES, max_size=2), max_size=2
        ),
        "limits": _LIMITS | _VALUES,
        "entries": st.lists(
            st.fixed_dictionaries({"limits": _LIMITS}, optional={"match": _VALUES}), max_size=1
        ),
        "layers": st.lists(
            st.fixed_dictionaries(
                {}, optional={"match": _MATCH, "each": _LIMITS, "total": _LIMITS}
            ),
            max_size=2,
        ),
        "exclude": st.lists(
            st.fixed_dictionaries({}, optional={"match": _MATCH, "reason": _TEXTS}), max_size=1
        ),
        "levl": st.just("warn"),
    },
)
_BUDGETS = st.fixed_dictionaries(
    {"version": st.sampled_from([1, 1, 1, 2, "1", True, 1.5])},
    optional={
        "models": st.lists(_MODELS, max_size=2) | st.just([{"target": "m"}]),
        "defaults": st.fixed_dictionaries({}, optional={**_RUNS, "limits": _LIMITS}),
        "policy": st.dictionaries(
            st.sampled_from([*POLICIES, "on"]), st.sampled_from([*LEVELS, "note"])
        ),
        "baseline": _TEXTS,
        "description": _TEXTS,
    },
)


@law
@given(
    _BUDGETS
    | st.builds(lambda model: {"version": 1, "models": [{"target": "m", **model}]}, _MODELS)
)
def test_parser_and_schema_agree(budget: dict[str, Any]) -> None:
    text = yaml.safe_dump(budget, allow_unicode=True, sort_keys=False)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "dscost.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            read_budget(path)
            refused = []
        except FileProblems as error:
            refused = [
                one.message
                for one in error.problems
                if not any(what in one.message for what in ONLY_THE_PARSER)
            ]
            event("refused by the parser alone" if not refused else "refused")
            if not refused:
                return
    complaints = [error.message for error in BUDGET.iter_errors(parse_yaml(text, "x").plain)]
    assert bool(complaints) == bool(refused), (complaints, refused)


KEYS: Mapping[str, str] = {
    "": "version baseline defaults policy models description",
    "models": "name target input batch dtype set kwargs trust matrix limits entries layers exclude "
    "policy",
    "defaults": "input batch dtype limits",
    "entries": "match limits",
    "layers": "match each total allow_empty",
    "exclude": "match reason",
    "limit": "max min max_increase max_decrease ignore_below tolerance level message",
    "policy": "on_missing_baseline on_stale_baseline on_unmatched_rule on_unknown_cost "
    "on_unseen_work on_value_dependent on_unused_weights on_unloadable_model on_improvement",
}
"""Of a budget, as `configs/budgets/README.md` has them."""


def test_a_budget_has_the_keys_of_its_language() -> None:
    found = schema("budget")
    model = found["definitions"]["model"]
    mappings = {"": found, "models": model, "defaults": found["properties"]["defaults"]}
    mappings |= {key: model["properties"][key]["items"] for key in ("entries", "layers", "exclude")}
    mappings["policy"] = found["properties"]["policy"]
    limits = [
        found["definitions"][f"limit_{kind}"]["anyOf"][1]
        for kind in {one.kind for one in FIGURES.values()}
    ]
    keys = {name: keys_of(mapping) for name, mapping in mappings.items()}
    keys["limit"] = set().union(*map(keys_of, limits))
    assert keys == {name: set(words.split()) for name, words in KEYS.items()}
    assert keys_of(model["properties"]["policy"]) == keys["policy"] - {"on_stale_baseline"}
    assert keys_of(found["definitions"]["limits"]) == set(FIGURES)
    assert keys_of(found["definitions"]["layer_limits"]) == {
        name for name, one in FIGURES.items() if one.is_of_layers
    }


def test_every_mapping_of_a_budget_is_closed_or_free_on_purpose() -> None:
    free = {"set", "kwargs", "match", "matrix"}
    for part in parts(schema("budget")):
        for name, one in part.get("properties", {}).items():
            if isinstance(one, dict) and one.get("type") == "object" and name not in free:
                assert one["additionalProperties"] is False, name


def test_every_key_of_a_budget_says_what_it_is_for() -> None:
    found = schema("budget")
    for part in (found, found["definitions"]["model"], found["definitions"]["limits"]):
        assert [key for key, one in part["properties"].items() if not one.get("description")] == []
    said = found["definitions"]["model"]["properties"]["batch"]["description"]
    assert said == "Replaces the batch of the input."  # of the docstring of Entry


@pytest.mark.parametrize("kind", QUANTITIES)
def test_a_quantity_is_one_for_the_schema_where_it_is_one_for_the_parser(kind: str) -> None:
    validator = Draft7Validator(quantity(kind).schema({}))
    units = [unit for units, _ in QUANTITIES.values() for unit in units]
    digits = ("1", "1.5", ".5", "1_000", "1__0", "1e3", "-1", "")
    numbers = [f"{number}{space}" for number in digits for space in ("", " ")]
    texts = [f"{number}{unit}" for number in numbers for unit in units]
    for value in (*texts, 1, 1.5, 0, -1, True, None, " 5% ", "5 % of it", "1" * 61):
        try:
            parse_quantity(value, kind)
            right = True
        except InputError:
            right = False
        assert validator.is_valid(value) is right, value


def budgets() -> list[Path]:
    return sorted((ROOT / "configs" / "budgets").glob("*.yaml"))


@pytest.mark.parametrize("path", budgets(), ids=lambda path: path.name)
def test_the_example_budgets_are_right(path: Path) -> None:
    assert [error.message for error in BUDGET.iter_errors(read_yaml(path).plain)] == []


def test_the_budget_of_the_readme_of_budgets_is_right(tmp_path: Path) -> None:
    text = (ROOT / "configs" / "budgets" / "README.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("```yaml\n")
    example, _, _ = rest.partition("```")
    assert accepted_by_the_parser(example, tmp_path)
    assert accepted_by_the_schema(example)


def test_what_init_writes_is_right(tmp_path: Path) -> None:
    assert run(["init", "resnet18", "-o", str(tmp_path / "dscost.yaml"), "-q"]) == 0
    assert BUDGET.is_valid(read_yaml(tmp_path / "dscost.yaml").plain)


# -- reports


def closed(found: Any) -> Any:
    """Return a schema whose records take no key that they do not list."""
    if isinstance(found, list):
        return [closed(one) for one in found]
    if not isinstance(found, dict):
        return found
    inner = {key: closed(one) for key, one in found.items()}
    return (
        {**inner, "additionalProperties": False}
        if "required" in found and "properties" in found
        else inner
    )


STRICT_REPORT = Draft7Validator(closed(schema("report")))


def written(*reports: dscost.Report) -> Any:
    return json.loads(json.dumps(document(reports, command="model"), allow_nan=False))


def problems_of(report: Any) -> list[str]:
    return [
        f"{error.json_path}: {error.message:.200}" for error in STRICT_REPORT.iter_errors(report)
    ]


@pytest.mark.parametrize("target", ["mobilenet_v3_small", "resnet18", "xception"])
def test_a_counted_report_has_the_keys_of_the_schema_and_no_others(target: str) -> None:
    assert problems_of(written(dscost.analyze(target), dscost.analyze(target, on="t4"))) == []


def test_a_timed_layer_has_the_keys_of_the_schema_and_no_others() -> None:
    report = dscost.layer(
        in_channels=8, out_channels=8, kernel_size=3, time=True, time_budget_s=0.5, threads=1
    )
    found = written(report)
    assert problems_of(found) == []
    assert found["environment"]["threads"] == 1
    assert found["subjects"][0]["latency"]["cpu"]["standard"]["median_s"] > 0


def test_a_timed_torch_model_has_the_keys_of_the_schema_and_no_others() -> None:
    import torch

    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding="same"), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3)
    )
    timed = dscost.analyze(model, input=(1, 3, 16, 16), time=True, time_budget_s=0.5, threads=1)
    assert timed.layers[0].conv is not None
    assert timed.layers[0].conv.padding == "same"
    assert problems_of(written(timed)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("tool",), "dscost"),
        (("tool", "name"), "another"),
        (("tool", "version"), 1),
        (("command",), None),
        (("environment",), "here"),
        (("subjects", 0, "totals", "as_is", "macs"), 1.5),
        (("subjects", 0, "totals", "as_is", "macs"), None),
        (("subjects", 0, "layers", 0, "input_shape"), [1, "3"]),
        (("subjects", 0, "layers", 0, "conv", "padding"), "valid"),
        (("subjects", 0, "coverage", "unknown"), "none"),
    ],
)
def test_a_report_that_is_none_is_refused(path: tuple[Any, ...], value: Any) -> None:
    found = place = written(dscost.analyze("mobilenet_v3_small"))
    assert REPORT.is_valid(found)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not REPORT.is_valid(found)


@pytest.mark.parametrize("name", ["report", "comparison", "conversion", "swept"])
def test_a_document_that_means_other_figures_is_refused(name: str) -> None:
    conventions = written(dscost.layer(8, 8, 3))["conventions"]
    known = Draft7Validator(schema(name)["properties"]["conventions"])
    assert known.is_valid(conventions)
    for figure, meaning in conventions.items():
        assert not known.is_valid({**conventions, figure: f"{meaning} (or nearly)"}), figure
        without = {other: said for other, said in conventions.items() if other != figure}
        assert not known.is_valid(without), figure


@pytest.mark.parametrize("key", REPORT_KEYS)
def test_a_report_without_one_of_its_keys_is_refused(key: str) -> None:
    found = written(dscost.analyze("mobilenet_v3_small"))
    del found["subjects"][0][key]
    assert not REPORT.is_valid(found)


def test_a_report_may_have_keys_that_are_younger_than_the_schema() -> None:
    found = written(dscost.analyze("mobilenet_v3_small"))
    found["subjects"][0]["totals"]["as_is"]["energy_j"] = 1.0
    assert REPORT.is_valid(found)


def test_the_fields_of_a_report_say_what_their_docstrings_say() -> None:
    properties: Mapping[str, Schema] = schema("report")["definitions"]["Cost"]["properties"]
    assert (
        properties["traffic_bytes"]["description"]
        == "Least data moved; of a chain, the sum over its stages."
    )
    assert properties["flops"] == {"type": "integer", "description": "Two per multiply-accumulate."}
    assert properties["flops_per_byte"]["type"] == ["number", "null"]


# -- comparisons

COMPARISON = Draft7Validator(schema("comparison"))
STRICT_COMPARISON = Draft7Validator(closed(schema("comparison")))


def test_the_parts_of_a_comparison_say_what_they_are() -> None:
    properties: Mapping[str, Schema] = schema("comparison")["properties"]
    parts = ("reference", "compared", "differences", "notes")
    assert {name: properties[name]["description"] for name in parts} == {
        "reference": "What the others are held against, by its label.",
        "compared": "All of them, the reference first.",
        "differences": "Each of the others against the reference.",
        "notes": "What the reader must know about the figures.",
    }


def test_the_two_names_of_a_layer_say_whose_they_are() -> None:
    properties: Mapping[str, Schema] = schema("comparison")["definitions"]["Layer"]["properties"]
    assert {name: properties[name]["description"] for name in ("name", "reference_name")} == {
        "name": "In the model; null where only the reference has it.",
        "reference_name": "In the reference; null where only the model has it.",
    }


def compared(*arguments: str, capsys: pytest.CaptureFixture[str]) -> Any:
    assert run(["compare", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "arguments",
    [
        ("resnet18", "resnet34"),
        ("resnet18", "mobilenet_v1", "resnet18", "--all"),
        ("vgg16", "vgg16", "--all"),
    ],
)
def test_a_comparison_has_the_keys_of_the_schema_and_no_others(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(*arguments, capsys=capsys)
    assert [
        f"{one.json_path}: {one.message:.200}" for one in STRICT_COMPARISON.iter_errors(found)
    ] == []


def test_a_comparison_of_measured_reports_has_the_keys_of_the_schema(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = dscost.layer(
        in_channels=8, out_channels=8, kernel_size=3, time=True, time_budget_s=0.2, threads=1
    )
    path = tmp_path / "layer.json"
    path.write_text(json.dumps(written(report)), encoding="utf-8")
    found = compared(str(path), str(path), capsys=capsys)
    assert list(found["differences"][0]["latency_s"]) == list(report.latency)
    assert found["compared"][0]["environment"]["threads"] == 1
    assert [one.message for one in STRICT_COMPARISON.iter_errors(found)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("command",), "model"),
        (("reference",), None),
        (("compared", 0, "saved"), "no"),
        (("compared", 0, "inputs", 0, "shape"), ["1"]),
        (("differences", 0, "totals", "macs", "change"), "5"),
        (("differences", 0, "layers", 0, "status"), "other"),
        (("differences", 0, "layer_counts", "same"), -1),
        (("notes",), None),
    ],
)
def test_a_comparison_that_is_none_is_refused(
    path: tuple[Any, ...], value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    found = place = compared("resnet18", "resnet34", capsys=capsys)
    assert COMPARISON.is_valid(found)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not COMPARISON.is_valid(found)


# -- architectures


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs" / "architectures").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_built_in_architectures_are_right(path: Path) -> None:
    assert [error.message for error in ARCHITECTURE.iter_errors(read_yaml(path).plain)] == []


def architecture_accepts(text: str) -> tuple[bool, bool]:
    root = parse_yaml(text, "net.yaml")
    try:
        architectures.parse_architecture(root, "net.yaml")
        parsed = True
    except FileProblems:
        parsed = False
    return parsed, ARCHITECTURE.is_valid(root.plain)


RIGHT_NETS = {
    "layers alone": "- {conv: 3, out_channels: 8}\n- flatten",
    "expressions": "input: [3, size, size]\nsettings: {size: 32}\nlayers: [{conv: 5x3, out_channels: 2 * in_channels}]",
    "pairs": "- {conv: [5, 3], out_channels: 8, stride: [2, 1], padding: [0, 1], when: true}",
    "words": "- {conv: 3, out_channels: 8, padding: same, norm: none, act: none, bias: false}",
    "residuals": "- residual: [{conv: 3, out_channels: 8}]\n  shortcut: [{conv: 1, out_channels: 8}]\n  name: a",
    "everything else": "- {depthwise: 3}\n- {max_pool: 2, ceil_mode: true}\n- {squeeze_excite: 4, gate: hard_sigmoid}\n"
    "- {norm: batch}\n- {act: relu}\n- {dropout: 0.2}\n- {flatten: true}\n- {linear: 10}",
    "blocks": "blocks: {b: {columns: [c, conv], repeat: 2, layers: [{conv: conv, out_channels: c}]}}\n"
    "layers: [{block: b, rows: [[8, 3]]}, {block: b, c: 8, conv: 3}]",
    "models": "settings: {a: [1, 2], b: relu}\nmodels: {x: {}, y: {b: silu}}\nlayers: [{linear: 'a[0]', act: b}]",
}
WRONG_NETS = {
    "an unknown layer": "- {cnv: 3}",
    "an unknown key": "- {conv: 3, out_channels: 8, strid: 2}",
    "a missing key": "- {conv: 3}",
    "a missing value": "- {conv: 3, out_channels: }",
    "a mapping as a value": "- {conv: {a: 1}, out_channels: 8}",
    "a fraction of a channel": "- {conv: 3, out_channels: 8.5}",
    "a kernel of zero": "- {conv: 0, out_channels: 8}",
    "three sides of a kernel": "- {conv: [3, 3, 3], out_channels: 8}",
    "a truth where a number belongs": "- {linear: true}",
    "a number where a truth belongs": "- {linear: 10, bias: 1}",
    "a word that needs a value": "- conv",
    "a name that is none": "- {linear: 10, name: 1a}",
    "no layers": "input: [3, 32, 32]",
    "an empty list": "layers: []",
    "an unknown key of the top": "layer: []\nlayers: [flatten]",
    "an input of two sizes": "input: [3, 32]\nlayers: [flatten]",
    "a setting that is a mapping": "settings: {a: {b: 1}}\nlayers: [flatten]",
    "a block without layers": "blocks: {b: {columns: [c]}}\nlayers: [flatten]",
    "rows that are none": "blocks: {b: {columns: [c], layers: [flatten]}}\nlayers: [{block: b, rows: [8]}]",
}


@pytest.mark.parametrize("text", RIGHT_NETS.values(), ids=RIGHT_NETS)
def test_parser_and_schema_accept_a_network(text: str) -> None:
    assert architecture_accepts(text) == (True, True)


@pytest.mark.parametrize("text", WRONG_NETS.values(), ids=WRONG_NETS)
def test_parser_and_schema_refuse_a_network(text: str) -> None:
    assert architecture_accepts(text) == (False, False)


def test_an_architecture_has_the_keys_of_its_language() -> None:
    found = schema("architecture")
    top = "description source input settings models defaults blocks layers"
    assert keys_of(found["else"]) == set(top.split())
    block = found["else"]["properties"]["blocks"]["additionalProperties"]
    assert keys_of(block) == {"columns", "repeat", "layers"}
    *layers, words = found["definitions"]["layer"]["anyOf"]
    assert words == {"enum": ["flatten"]}
    by_kind = dict(zip(LAYERS, layers, strict=True))
    for kind, values in LAYERS.items():
        own = {"block", "rows"} if kind == "block" else {*values, *LISTS.get(kind, ())}
        assert keys_of(by_kind[kind]) == {*own, "name", "when"}, kind


# -- devices and plans

DEVICE, PLAN = (Draft7Validator(schema(name)) for name in ("device", "plan"))
BOARD = "name: a board\nsource: %s\nflops_per_s: {%s}\nbytes_per_s: %s\n%s"


def device_accepts(text: str, folder: Path) -> tuple[bool, bool]:
    path = folder / "board.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        read_device(path)
        parsed = True
    except FileProblems:
        parsed = False
    return parsed, DEVICE.is_valid(parse_yaml(text, "board.yaml").plain)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs" / "devices").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_built_in_devices_are_right(path: Path) -> None:
    assert [error.message for error in DEVICE.iter_errors(read_yaml(path).plain)] == []


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        (BOARD % ("a sheet", "float32: 1e9", "2e9", ""), True),
        (BOARD % ("[a sheet, another]", "float32: 1, int8: 2.5", "2", ""), True),
        (BOARD % ("[]", "float32: 1e9", "2e9", ""), False),
        (BOARD % ("[a sheet, 5]", "float32: 1e9", "2e9", ""), False),
        (BOARD % ("' '", "float32: 1e9", "2e9", ""), False),
        (BOARD % ("a sheet", "", "2e9", ""), False),
        (BOARD % ("a sheet", "flaot32: 1e9", "2e9", ""), False),
        (BOARD % ("a sheet", "float32: fast", "2e9", ""), False),
        (BOARD % ("a sheet", "float32: 1e9", "0", ""), False),
        (BOARD % ("a sheet", "float32: 1e9", "1e30", ""), False),
        (BOARD % ("a sheet", "float32: 1e9", "true", ""), False),
        (BOARD % ("a sheet", "float32: 1e9", "2e9", "watts: 5"), False),
        ("name: a board\nsource: a sheet\nbytes_per_s: 1", False),
        ("[1]", False),
    ],
)
def test_parser_and_schema_agree_on_a_device(text: str, is_right: bool, tmp_path: Path) -> None:
    assert device_accepts(text, tmp_path) == (is_right, is_right)


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("version: 1\nlayers: {}", True),
        ("version: 1\ntarget: net.yaml\ngoal: macs=0.5x\ninput: 1,3,8,8\nlayers: {a: 2}", True),
        ("version: 1\ninput: [1, 3, 8, 8]\nlayers: {a: keep, '': 1}", True),
        ("version: 1\ninput: ['1,3', 'ids=1,5:int64']\nlayers: {}", True),
        ("version: 2\nlayers: {}", False),
        ("version: 1", False),
        ("version: 1\nlayers: [a]", False),
        ("version: 1\nlayers: {a: 0}", False),
        ("version: 1\nlayers: {a: 1.5}", False),
        ("version: 1\nlayers: {a: Keep}", False),
        ("version: 1\nlayers: {}\ngoal: ' '", False),
        ("version: 1\nlayers: {}\ninput: [1, -3]", False),
        ("version: 1\nlayers: {}\ninput: 1;3", False),
        ("version: 1\nlayers: {}\nranks: {}", False),
    ],
)
def test_parser_and_schema_agree_on_a_plan(text: str, is_right: bool) -> None:
    problems = Problems()
    root = parse_yaml(text, "plan.yaml", problems)
    try:
        plan_in(root, "plan.yaml", problems)
        parsed = True
    except FileProblems:
        parsed = False
    assert (parsed, PLAN.is_valid(root.plain)) == (is_right, is_right)


@pytest.mark.parametrize("name", ["device", "plan"])
def test_every_key_of_a_device_or_a_plan_says_what_it_is_for(name: str) -> None:
    properties = schema(name)["properties"]
    assert [key for key, one in properties.items() if not one.get("description")] == []
