"""Models swept by settings and inputs: what is said of them, and what they come to."""

import csv
import pickle
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from program import run

import dscost
from dscost.errors import InputError, UnknownNameError
from dscost.sweeping.cases import Impossibility
from dscost.sweeping.model_axes import Numbers, Sides, input_values, setting_values
from dscost.sweeping.model_grids import ModelUnit, Said, model_cases, model_grid
from dscost.sweeping.records import Case, Sweep, Where

NETWORK = "input: [3, 8, 8]\nsettings: {width: 4, act: relu}\nlayers:\n  - {conv: 3, out_channels: width, act: act}\n"
OWN_INPUT = NETWORK.replace("input: [3, 8, 8]\n", "")


def figures(found: Sweep, variant: str = "as_is") -> dict[tuple[Any, ...], int]:
    return {
        tuple(row.of[name] for name in row.of if name not in ("model", "batch", "dtype")): row.cost.macs
        for row in found.rows
        if row.variant == variant
    }  # fmt: skip


# -- what may be said


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("0.25:1.0:0.25", (0.25, 0.5, 0.75, 1.0)),
        ("0.1:0.7:0.1", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)),
        ("0.25:1.0:0.25,1.3", (0.25, 0.5, 0.75, 1.0, 1.3)),
        ("1:3", (1, 2, 3)),
        ("1.0", (1.0,)),
        ("relu, hswish", ("relu", "hswish")),
        ("true,false", (True, False)),
        ("[1, 2],[3]", ((1, 2), (3,))),
        ([[1, [2]], [1, [2]]], ((1, (2,)),)),
        ([0.5, 1.0, 0.5], (0.5, 1.0)),
        ([1, 1.0, True], (1, 1.0, True)),
        (0.5, (0.5,)),
        (range(1, 4), (1, 2, 3)),
    ],
)
def test_settings_are_said_in_many_ways(given: object, expected: tuple[object, ...]) -> None:
    found = setting_values(given)
    assert found == expected
    assert [type(one) for one in found] == [type(one) for one in expected]


def test_a_range_of_decimals_has_no_rounding_in_it() -> None:
    assert setting_values("0:1:0.1") == tuple(float(f"{at / 10:.1f}") for at in range(11))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "expected a value such as 0.5 or 0.25:1.0:0.25, found ''"),
        ("1,,2", "expected a value such as 0.5 or 0.25:1.0:0.25, found '1,,2'"),
        ([], "no value is given"),
        ("1.0:0.5:0.1", "1.0:0.5:0.1 is empty: a range rises, as in 0.5:1.0:0.1"),
        ("0.5:1.0", "0.5:1.0 has no step: write it as in 0.5:1.0:0.25"),
        ("0.5:1.0:0", "0.5:1.0:0 never gets on: its step is 0"),
        ("0:1:0.0000001", "0:1:0.0000001 has 10,000,001 values: at most 10,000"),
        ("{a", "'{a': not valid YAML: "),
    ],
)
def test_what_is_no_setting_is_told(given: object, told: str) -> None:
    with pytest.raises(InputError) as error:
        setting_values(given)
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("128,160", (Sides((128,)), Sides((160,)))),
        ("128:192:32", (Sides((128,)), Sides((160,)), Sides((192,)))),
        ("160x224", (Sides((160, 224)),)),
        ("160x224,128", (Sides((160, 224)), Sides((128,)))),
        ("1,3,224,224 1,3,64,64", (Numbers((1, 3, 224, 224)), Numbers((1, 3, 64, 64)))),
        (["128", "1,3,64,64"], (Sides((128,)), Numbers((1, 3, 64, 64)))),
        (128, (Sides((128,)),)),
        ([128, (160, 224), (1, 3, 64, 64)], (Sides((128,)), Sides((160, 224)), (1, 3, 64, 64))),
        ("128 128", (Sides((128,)),)),
    ],
)
def test_inputs_are_said_in_many_ways(given: object, expected: tuple[object, ...]) -> None:
    assert input_values(given) == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "no input is given: expected something like 128,160,192,224, 160x224 or 1,3,224,224"),
        ([], "no input is given"),
        ("3,224,224", "(did you mean 1,3,224,224?)"),
        ("ids=1,128:int64", "expected something like 128,160,192,224, 160x224 or 1,3,224,224, found"),
        ("0", "a size must be 1 to 1,000,000, found 0"),
        (1.5, "expected something like"),
        ((1, 3.0, 8, 8), "expected something like"),
    ],
)  # fmt: skip
def test_what_is_no_input_is_told(given: object, told: str) -> None:
    with pytest.raises(InputError) as error:
        input_values(given)
    assert told in str(error.value)


# -- what it comes to


def test_mobilenet_v1_by_width_and_resolution_is_as_published() -> None:
    # Howard et al. 2017, tables 6 and 7 (arXiv:1704.04861), in millions of mult-adds
    found = figures(
        dscost.sweep(
            model="mobilenet_v1", settings={"width": "0.25:1.0:0.25"}, input="128,160,192,224"
        )
    )
    assert len(found) == 4 * 4
    by_width = [found[width, 224] // 10**6 for width in (1.0, 0.75, 0.5, 0.25)]
    assert by_width == [568, 325, 149, 41]  # the first is 569 rounded
    by_size = [found[1.0, side] // 10**6 for side in (224, 192, 160, 128)]
    assert by_size == [568, 418, 290, 186]


def test_every_model_is_counted_as_it_is_and_in_both_pure_versions() -> None:
    found = dscost.sweep(model="mobilenet_v1")
    totals = dscost.analyze("mobilenet_v1").totals
    assert [row.variant for row in found.rows] == ["as_is", "standard", "depthwise_separable"]
    assert [row.cost for row in found.rows] == [*totals[:3]]
    standard = found.rows[1].reduction
    assert standard is not None
    assert standard.macs == totals.as_is.macs / totals.standard.macs


def test_four_numbers_are_a_shape_where_the_second_are_the_channels_of_the_model(
    tmp_path: Path,
) -> None:
    (tmp_path / "net.yaml").write_text(NETWORK)
    path = str(tmp_path / "net.yaml")
    shape = figures(dscost.sweep(model=path, input="2,3,16,16"))
    assert shape == {((2, 3, 16, 16),): 2 * 3 * 4 * 9 * 16 * 16}
    sides = figures(dscost.sweep(model=path, input="8,16,32,64"))
    assert sides == {(side,): 3 * 4 * 9 * side * side for side in (8, 16, 32, 64)}


def test_models_vary_slowest_and_have_their_batches() -> None:
    found = dscost.sweep(
        model=["resnet18", "mobilenet_v1"], input=64, batch="1,8", variants="as_is"
    )
    of = [(row.of["model"], row.of["batch"]) for row in found.rows]
    assert of == [("resnet18", 1), ("resnet18", 8), ("mobilenet_v1", 1), ("mobilenet_v1", 8)]
    assert found.rows[1].cost.macs == 8 * found.rows[0].cost.macs
    assert found.title == "4 models: resnet18, mobilenet_v1, input 64, batch 1, 8"


def test_a_model_that_cannot_exist_is_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NETWORK)
    found = dscost.sweep(model=str(tmp_path / "net.yaml"), settings={"width": [4, -4]})
    assert found.impossible is not None
    assert (found.size, len(found.rows), found.impossible.number) == (2, 3, 1)
    assert found.impossible.example.endswith(
        "net.yaml, width -4: setting 'width' must be at least 0, found -4"
    )
    with pytest.raises(InputError, match=r"^none of 2 models can exist, such as .*width -4: "):
        dscost.sweep(model=str(tmp_path / "net.yaml"), settings={"width": [-4, -8]})


def test_a_model_that_states_no_input_needs_whole_shapes(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(OWN_INPUT)
    path = str(tmp_path / "net.yaml")
    assert figures(dscost.sweep(model=path, input="1,3,8,8")) == {
        ((1, 3, 8, 8),): 3 * 4 * 9 * 8 * 8
    }
    with pytest.raises(InputError, match="does not state its input"):
        dscost.sweep(model=path, input=128)
    with pytest.raises(InputError, match=r"^resnet18 takes 1×3×224×224, not 8×8×8$"):
        dscost.sweep(model="resnet18", input="8x8x8")


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"model": "resnet81"}, UnknownNameError, "unknown model 'resnet81' (did you mean 'resnet18'?)"),
        (
            {"model": ["resnet18", "resnet81"]},
            UnknownNameError,
            "unknown model 'resnet81' (did you mean 'resnet18'?)",
        ),
        (
            {"settings": {"widht": 1}},
            UnknownNameError,
            "unknown setting 'widht' (did you mean 'width'?)",
        ),
        ({"model": "nowhere.yaml"}, InputError, "nowhere.yaml"),
        ({"model": []}, InputError, "no model is given"),
        (
            {"settings": {"width": ""}, "input": "x", "batch": "cin", "dtype": "f", "variants": "ghost"},
            InputError,
            "set width: expected a value such as 0.5 or 0.25:1.0:0.25, found ''\n"
            "input: expected something like 128,160,192,224, 160x224 or 1,3,224,224, found 'x'\n"
            "batch: a batch of models is a number, found 'cin'\n"
            "dtype: unknown dtype 'f' (known: float64, float32, float16, bfloat16, int8)\n"
            "unknown version of a model 'ghost' (known: as_is, standard, depthwise_separable)",
        ),
        (
            {"in_channels": 3, "file": "s.yaml"},
            InputError,
            "in_channels, file: where models are swept, settings and inputs vary",
        ),
        (
            {"settings": {"width": "0.001:9:0.001", "classes": "1:100"}},
            InputError,
            "900,000 models are too many to be counted at once, at most 10,000: take larger steps",
        ),
    ],
)  # fmt: skip
def test_bad_models_are_told(given: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error) as found:
        dscost.sweep(**{"model": "mobilenet_v1", **given})
    assert told in str(found.value)


def test_settings_and_inputs_need_a_model() -> None:
    with pytest.raises(InputError, match=r"^settings and input are of models: give model, or inp"):
        dscost.sweep(8, 8, 3, input=128)


# -- on the command line


def test_the_command_line_says_the_same() -> None:
    ran = run(
        *"sweep --model mobilenet_v1 --set width=0.5,1.0 --input 128 --input 224".split(),
        "--format",
        "csv",
    )
    assert ran.returncode == 0, ran.stderr
    rows = list(csv.DictReader(StringIO(ran.stdout)))
    assert list(rows[0])[:3] == ["model", "width", "input"]
    found = {
        (row["width"], row["input"]): int(row["macs"]) for row in rows if row["variant"] == "as_is"
    }
    assert found["1.0", "224"] == 568_740_352  # as torchvision's and others' counters have it
    assert len(found) == 4
    assert len(rows) == 3 * 4


def test_a_setting_may_be_a_list() -> None:
    several = (
        "sweep",
        "--model",
        "resnet18",
        "--set",
        "repeats=[1,1,1,1],[2,2,2,2]",
        "--input",
        "64",
    )
    page = run(*several)
    assert (page.returncode, page.stderr) == (0, "")
    assert "repeats [1, 1, 1, 1], [2, 2, 2, 2]" in page.stdout
    rows = list(csv.DictReader(StringIO(run(*several, "--format", "csv").stdout)))
    params = {row["repeats"]: int(row["params"]) for row in rows if row["variant"] == "as_is"}
    assert set(params) == {"1x1x1x1", "2x2x2x2"}
    assert params["2x2x2x2"] == 11_689_512  # as torchvision has it


def test_models_are_shown_and_sorted_by_what_they_are_of() -> None:
    models = ("sweep", "--model", "mobilenet_v1", "--set", "width=0.5,1.0", "--input", "64")
    wanted = ("--columns", "model,width,input,params")
    page = run(*models, *wanted, "--sort", "width")
    assert (page.returncode, page.stderr) == (0, "")
    table = page.stdout[page.stdout.index("The table") :]
    assert "mobilenet_v1" in table
    assert table.index("1.0") < table.index("0.5")
    text = run(*models, *wanted, "--format", "csv").stdout
    assert text.startswith("model,width,input,params\nmobilenet_v1,0.5,64,")
    wrong = run(*models, "--columns", "widht,macs")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "unknown column 'widht' (did you mean 'width'?)" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--model resnet18 --cin 8 -k 3", "--cin, -k: where models are swept, settings and inputs vary"),
        ("--model resnet18 separable_pays", "a file: where models are swept, settings and inputs vary"),
        ("--set width=1", "--set and --input are of --model; the input of layers is --size"),
        ("--model resnet18 --set width", "--set: expected NAME=VALUES such as width=0.25:1.0:0.25, found 'width'"),
        ("--model resnet18 --set a=1 --set a=2", "--set: a is given twice: write a,b"),
        ("--model mobilenet_v1 --set width=1:0.5:1", "--set width: 1:0.5:1 is empty: a range rises, as in 0.5:1"),
        ("--model mobilenet_v1 --input x", "--input: expected something like 128,160"),
        ("--model mobilenet_v1 --variant ghost", "unknown version of a model 'ghost'"),
        ("--model mobilenet_v9", "unknown model 'mobilenet_v9'"),
    ],
)  # fmt: skip
def test_bad_command_lines_get_one_line(arguments: str, told: str) -> None:
    ran = run("sweep", *arguments.split())
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"dscost: {told}")
    assert len(ran.stderr.splitlines()) == 1


# -- as something to be timed


def cases(path: Path, **more: Any) -> list[Case]:
    found = list(model_cases(model_grid(Said([str(path)], **more))))
    assert not any(isinstance(one, Impossibility) for one in found)
    return found  # type: ignore[return-value]


def test_what_tells_models_apart_is_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NETWORK)
    where = Where("CPU", 1)
    keys = [one.key(where) for one in cases(tmp_path / "net.yaml", settings={"width": "4,8"})]
    assert len(set(keys)) == 2
    assert keys == [
        one.key(where) for one in cases(tmp_path / "net.yaml", settings={"width": "4,8"})
    ]
    (tmp_path / "net.yaml").write_text(NETWORK.replace("conv: 3", "conv: 5"))
    assert cases(tmp_path / "net.yaml")[0].key(where) not in keys


def test_a_model_to_be_timed_can_go_to_another_process(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(NETWORK)
    (case,) = cases(tmp_path / "net.yaml")
    again = pickle.loads(pickle.dumps(case))
    assert again.key(Where("CPU", 1)) == case.key(Where("CPU", 1))


def test_a_model_of_another_dtype_is_the_same_case_elsewhere(tmp_path: Path) -> None:
    """What of `float32,float16` is in float16 is what `float16` alone is."""
    (tmp_path / "net.yaml").write_text(NETWORK)
    keys = [
        [case.key(Where("CPU", 1, dtype=dtype)) for dtype in ("float32", "float16")]
        for own in ("float32", "float16")
        for case in cases(tmp_path / "net.yaml", dtype=own)
    ]
    assert keys[0] == keys[1]
    assert keys[0][0] != keys[0][1]


def test_a_model_of_another_dtype_has_the_bytes_of_that(tmp_path: Path) -> None:
    """A weight takes 4 bytes, or 2: half of all, as of what is moved."""
    (tmp_path / "net.yaml").write_text(NETWORK)
    (case,) = cases(tmp_path / "net.yaml")
    for unit in case.units:
        own, half = unit.cost(4), unit.cost(2)
        assert (half.params, half.macs) == (own.params, own.macs)
        assert (2 * half.weight_bytes, 2 * half.traffic_bytes) == (
            own.weight_bytes,
            own.traffic_bytes,
        )
        assert own.weight_bytes == 4 * own.params
        assert unit.cost(0) == own


@pytest.mark.torch
def test_a_version_of_a_model_can_be_run(tmp_path: Path) -> None:
    from dscost.timing import Setting

    (tmp_path / "net.yaml").write_text(NETWORK)
    (case,) = cases(tmp_path / "net.yaml", batch=2)
    for unit in case.units:
        assert isinstance(unit, ModelUnit)
        work = unit.work(Setting(batch=2), seed=1)
        arguments = work.arguments()
        assert work.build()(*arguments.args, **arguments.kwargs).shape == (2, 4, 8, 8)
        assert work.macs == unit.cost(4).macs
