"""A model cut into layers that are timed alone, their sum beside the model as a whole, and what is said of that."""

import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from program import run

import dscost
from dscost.analysis.cooling import MOST_BYTES, MOST_COPIES, copies_of
from dscost.analysis.whole_models import WHOLE
from dscost.errors import InputError
from dscost.networks.architectures import build, builtin_names, find_builtin, read_architecture
from dscost.networks.network import Operation
from dscost.pages import View
from dscost.pages.sweep_sums import lines_of_sum
from dscost.pages.sweeps import SweepSaid
from dscost.reports.figures import NOTHING
from dscost.sweeping.adding_up import Ran, compared, layers_among, sums_of, together
from dscost.sweeping.layer_sweep import find_layers
from dscost.sweeping.model_layers import ModelLayers, cut, layers_of
from dscost.sweeping.records import Case, Kernels, Row, Sum, Where
from dscost.sweeping.timed_sweep import timed_sweep
from dscost.timing import TimingOptions

PUBLISHED = Path(__file__).parent / "data" / "torchvision_weights_meta.csv"
HERE = Where("a processor", 1)


def operations_of(name: str, size: int | None = None) -> tuple[Operation, ...]:
    shape = None if size is None else (1, 3, size, size)
    return build(find_builtin(name), overrides={}, shape=shape).operations


def published() -> dict[str, tuple[int, float, int]]:
    """Return parameters, GMACs and size of the input of torchvision's models, as its own table has them."""
    with PUBLISHED.open() as stream:
        return {
            one["model"]: (int(one["num_params"]), float(one["gflops_ops"]), int(one["crop_size"]))
            for one in csv.DictReader(stream)
            if one["crop_size"].isdecimal()
        }


# -- cutting


@pytest.mark.parametrize("name", builtin_names())
def test_every_operation_is_in_one_layer_or_free(name: str) -> None:
    operations = operations_of(name)
    pieces, free = cut(operations)
    assert sorted([at for piece in pieces for at in piece.positions] + list(free)) == list(
        range(len(operations))
    )
    assert {operations[at].op for at in free} <= {"view", "identity"}


@pytest.mark.parametrize("name", sorted(set(builtin_names()) & published().keys()))
def test_layers_and_their_calls_cost_what_the_model_does(name: str) -> None:
    """The figures are torchvision's own."""
    params, gmacs, size = published()[name]
    model = layers_of(name, operations_of(name, size))
    costs = [(case.calls, case.units[0].cost(4)) for case in model.layers]
    assert sum(calls * cost.params for calls, cost in costs) == params
    assert sum(calls * cost.macs for calls, cost in costs) / 1e9 == pytest.approx(gmacs, abs=1e-3)
    assert model.whole.units[0].cost(4).params == params
    assert model.missing == ()


def labels(name: str) -> list[str]:
    return [piece.unit.label for piece in cut(operations_of(name))[0] if piece.unit]


def test_mobilenet_v2_has_the_layers_of_its_paper() -> None:
    """17 blocks: an expansion in all but the first, depthwise, projection; 10 of them add (table 2)."""
    found = labels("mobilenet_v2")
    assert found.count("convolution+norm+relu6") == 1 + 16 + 17 + 1
    assert found.count("convolution+norm") == 17
    assert found.count("add") == 10
    assert found[-2:] == ["global_pooling", "linear"]
    assert len(found) == 35 + 17 + 10 + 2


def test_resnet18_has_the_layers_of_its_paper() -> None:
    """8 blocks of 2 convolutions, 3 projections, and a ReLU behind each sum (figure 2)."""
    found = labels("resnet18")
    assert found.count("convolution+norm+relu") == 1 + 8
    assert found.count("convolution+norm") == 8 + 3
    assert found.count("add+relu") == 8
    assert found.count("max_pooling") == 1


def test_a_squeeze_and_excite_block_is_one_layer() -> None:
    """MobileNetV3-Small has one in 9 of its 11 blocks (table 2)."""
    pieces = [
        piece
        for piece in cut(operations_of("mobilenet_v3_small"))[0]
        if piece.unit and piece.unit.label == "squeeze_excite"
    ]
    assert len(pieces) == 9
    first = pieces[0]
    assert [name.rpartition(".")[2] for name in first.names] == [
        *("pool", "reduce", "reduce_act", "expand", "gate", "multiply")
    ]
    assert first.unit is not None
    assert first.unit.shape == (1, 16, 56, 56)


def test_equal_layers_are_timed_once() -> None:
    """ResNet-18's first stage has two blocks of the same four convolutions (table 1)."""
    model = layers_of("resnet18", operations_of("resnet18"))
    (same,) = [
        case
        for case in model.layers
        if case.units[0].shape == (1, 64, 56, 56)
        and case.units[0].label == "convolution+norm+relu"
        and case.of["out_channels"] == 64
    ]
    assert same.calls == 2
    assert len({case.key(HERE) for case in model.layers}) == len(model.layers)


def architecture(layers: str, folder: Path) -> tuple[Operation, ...]:
    path = folder / "net.yaml"
    path.write_text(f"input: [8, 14, 14]\ndefaults: {{norm: batch, act: relu}}\nlayers:\n{layers}")
    return build(read_architecture(path), overrides={}).operations


def test_what_somebody_else_reads_is_not_taken_along(tmp_path: Path) -> None:
    """The shortcut reads what the first convolution makes, which its ReLU must not be part of."""
    operations = architecture(
        "  - {conv: 3, out_channels: 8, act: none}\n"
        "  - residual:\n"
        "      - {act: relu}\n"
        "      - {conv: 3, out_channels: 8, act: none}\n",
        tmp_path,
    )
    found = [piece.unit.label for piece in cut(operations)[0] if piece.unit]
    assert found == ["convolution+norm", "relu", "convolution+norm", "add"]


def test_the_whole_is_the_model() -> None:
    operations = operations_of("mobilenet_v3_small")
    (unit,) = layers_of("small", operations).whole.units
    assert unit.label == WHOLE
    assert [part[0] for part in unit.parts] == [one.name for one in operations]
    assert unit.cost(4).output_bytes == 4 * 1000


def test_layers_know_how_much_a_pass_uses() -> None:
    """VGG-16: 138,357,544 weights, and at most the image and the two largest maps at once."""
    model = layers_of("vgg16", operations_of("vgg16"))
    between = {case.units[0].between_elements for case in model.layers}
    assert between == {138_357_544 + (3 + 2 * 64) * 224 * 224}
    assert model.whole.units[0].between_elements == 0


def test_a_layer_in_a_model_is_another_case_than_alone() -> None:
    (first, *_) = layers_of("resnet18", operations_of("resnet18")).layers
    alone = first._replace(units=(first.units[0]._replace(between_elements=0),))
    assert first.key(HERE) != alone.key(HERE)


# -- copies that take turns


@pytest.mark.parametrize(
    ("used", "between", "copies"),
    [
        (1000, 10_000, 10),
        (1000, 999, 1),
        (10, 10_000, MOST_COPIES),
        (MOST_BYTES // 4, 100 * MOST_BYTES, 4),
        (0, 0, 1),
    ],
    ids=["as many as it takes", "one", "not too many", "not too large", "nothing"],
)
def test_copies_use_as_much_as_is_used_between_two_calls(
    used: int, between: int, copies: int
) -> None:
    assert copies_of(used, between) == copies


def test_copies_take_turns() -> None:
    torch = pytest.importorskip("torch")
    from dscost.modules.turns import InTurns

    class Times(torch.nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self, factor: int) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: Any) -> Any:
            return self.factor * x

    turns = InTurns([Times(1), Times(2), Times(3)])
    made = [turns(torch.tensor(10.0)) for _ in range(7)]
    assert [one.item() for one in made] == [10, 20, 30, 10, 20, 30, 10]


def test_what_has_no_weights_takes_no_turns() -> None:
    from dscost.analysis.cooling import in_turns
    from dscost.layers.others import JoinSpec
    from dscost.sweeping.measuring import work_of_unit
    from dscost.sweeping.units import Unit
    from dscost.timing import Setting, TimingOptions

    add = Unit("add", (("add", JoinSpec("add"), ("input", "input")),), (1, 8, 8, 8))
    work = work_of_unit(add, TimingOptions(), Setting())
    assert in_turns(work, 0, 10**9) is work
    assert in_turns(work, 1000, 4000) is work  # one copy is all that is used
    assert in_turns(work, 1000, 40_000).needed_bytes == work.needed_bytes + 10 * 4000


# -- the sum


def row(
    variant: str, ms: float | None, *, calls: int = 1, half: float = 0.0, where: Where = HERE
) -> Row:
    seconds = None if ms is None else ms / 1e3
    interval = None if ms is None else ((ms - half) / 1e3, (ms + half) / 1e3)
    return Row({}, variant, NOTHING, calls=calls, where=where, latency_s=seconds, ci95_s=interval)


def model_of(rows: Sequence[Row], **more: Any) -> ModelLayers:
    case = Case({}, ())
    return ModelLayers("a model", tuple(case for _ in rows), case, **more)


def test_a_sum_counts_every_call() -> None:
    rows = [row("convolution", 2, calls=3), row("add", 0.5, calls=4), row(WHOLE, 10)]
    (found,) = sums_of(model_of(rows, free=2), rows)
    assert (found.layers, found.calls, found.free, found.missing) == (2, 7, 2, ())
    assert found.sum_s == pytest.approx(3 * 2e-3 + 4 * 0.5e-3)
    assert found.gap == pytest.approx(8 / 10 - 1)


def test_its_interval_has_those_of_the_layers_and_of_the_whole() -> None:
    # 3 calls by 0.1 ms and 4 by 0.1 ms: √(0.3² + 0.4²) = 0.5 ms of 10 ms, with 12 % of the whole: √(5² + 12²) = 13 %
    rows = [
        row("convolution", 2, calls=3, half=0.1),
        row("add", 1, calls=4, half=0.1),
        row(WHOLE, 10, half=1.2),
    ]
    (found,) = sums_of(model_of(rows), rows)
    assert found.ci95 == pytest.approx((-0.13, 0.13))


def test_a_layer_that_was_not_timed_is_missing_from_the_sum() -> None:
    rows = [row("convolution", 2), row("squeeze_excite", None), row(WHOLE, 10)]
    (found,) = sums_of(model_of(rows, missing=("concat1",)), rows)
    assert found.sum_s == pytest.approx(2e-3)
    assert found.missing == ("concat1", "squeeze_excite")
    assert list(lines_of_sum(found))[-1] == "not in the sum: concat1, squeeze_excite"


def test_each_place_has_its_sum() -> None:
    there = HERE._replace(runtime="onnxruntime")
    rows = [row("add", 2), row("add", 1, where=there), row(WHOLE, 4), row(WHOLE, 1, where=there)]
    found = sums_of(model_of(rows), rows)
    assert [(one.where.runtime, one.gap) for one in found] == [
        ("torch", -0.5),
        ("onnxruntime", 0.0),
    ]


def test_a_whole_that_was_not_timed_has_no_sum() -> None:
    rows = [row("add", 2), row(WHOLE, None)]
    assert sums_of(model_of(rows), rows) == ()


def test_the_table_is_without_the_whole() -> None:
    rows = [row("add", 2), row(WHOLE, 1)]
    assert layers_among(rows) == rows[:1]


# -- what ran


def test_kernels_are_counted_with_the_calls_of_their_layers() -> None:
    conv, add = (
        Ran({"Conv": 1, "Reorder": 2}, {"Reorder": (2, 1e-3)}),
        Ran({"Add": 1}, {"Add": (1, 2e-3)}),
    )
    found = together([(3, conv), (2, add)])
    assert found.kernels == {"Conv": 3, "Reorder": 6, "Add": 2}
    assert found.ops == {"Reorder": (6, pytest.approx(3e-3)), "Add": (2, pytest.approx(4e-3))}


GIVEN = Sum(
    "a model", HERE._replace(runtime="onnxruntime"), 2, 5, 15e-3, 10e-3, (0.48, 0.52), free=1
)


def test_what_ran_differently_often_is_told() -> None:
    layers = Ran({"Conv": 3, "Reorder": 6, "Add": 2}, {"Reorder": (6, 5e-3), "Conv": (3, 8e-3)})
    whole = Ran(
        {"Conv": 3, "Conv + Add": 2, "Reorder": 1}, {"Reorder": (1, 1e-3), "Conv": (3, 9e-3)}
    )
    found = compared(GIVEN, layers, whole)
    assert found.kernels == (
        Kernels("Reorder", 6, 1),
        Kernels("Add", 2, 0),
        Kernels("Conv + Add", 0, 2),
    )
    assert [(op.kernel, pytest.approx(op.more_s)) for op in found.ops] == [
        ("Reorder", 4e-3),
        ("Conv", -1e-3),
    ]
    lines = list(lines_of_sum(found))
    assert lines[1:] == [
        "by its own clock, alone against in the model: "
        "Reorder 6 times instead of 1, 4.00 ms more; Conv as often, 1.00 ms less",
        "only in the model: Conv + Add ×2",
    ]


def test_kernels_without_a_clock_are_told_by_their_number() -> None:
    found = compared(GIVEN, Ran({"Reorder": 6}), Ran({"Reorder": 1}))
    assert list(lines_of_sum(found))[1:] == [
        "alone against in the model: Reorder 6 times instead of 1"
    ]


def test_a_runtime_that_tells_nothing_is_said_to() -> None:
    assert list(lines_of_sum(GIVEN))[1:] == [
        "it does not tell what it runs, or runs the model as it runs its layers"
    ]


@pytest.mark.parametrize(
    ("sum_ms", "ci95", "words", "reason"),
    [
        (
            9.7,
            (-0.05, -0.01),
            "the sum is 3.0 % less (−5.0 % to −1.0 %)",
            "1 operation that moves no data",
        ),
        (
            10.3,
            (0.01, 0.05),
            "the sum is 3.0 % more (+1.0 % to +5.0 %)",
            "called as a module of its own",
        ),
        (10.1, (-0.01, 0.03), "the sum is 1.0 % more (−1.0 % to +3.0 %)", "no difference beyond"),
        (10.0, (-0.01, 0.01), "they agree (−1.0 % to +1.0 %)", "no difference beyond"),
    ],
    ids=["less", "more", "within the interval", "equal"],
)
def test_torch_has_its_reasons(
    sum_ms: float, ci95: tuple[float, float], words: str, reason: str
) -> None:
    one = GIVEN._replace(where=HERE, sum_s=sum_ms / 1e3, ci95=ci95)
    first, second = lines_of_sum(one)
    assert first == (
        "a model under torch, float32, 1 thread: 5 layers (2 distinct) timed alone sum up to "
        f"{sum_ms:.2f} ms, the whole model takes 10.0 ms: {words}"
    ).replace("10.30 ms", "10.3 ms").replace("10.10 ms", "10.1 ms").replace("10.00 ms", "10.0 ms")
    assert reason in second


# -- the command line


def test_the_layers_of_a_model_are_a_table(tmp_path: Path) -> None:
    file = tmp_path / "layers.csv"
    found = run("sweep", "--layers-of", "mobilenet_v2", "-o", str(file))
    assert found.returncode == 0, found.stderr
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert len(rows) == 37
    # the figures of torchvision, as in every test of this model
    assert sum(int(one["params"]) * int(one["calls"] or 1) for one in rows) == 3_504_872
    assert sum(int(one["macs"]) * int(one["calls"] or 1) for one in rows) == 300_774_272


def test_settings_and_input_are_those_of_the_model() -> None:
    found = dscost.sweep(layers_of="mobilenet_v2", settings={"width": 0.5}, input=160)
    assert found.title.startswith("the 64 layers of mobilenet_v2 on 1×3×160×160, width=0.5, ")
    assert found.rows[0].of["input_size"] == 160
    # the published model of half the width has 1.97 million weights (arXiv:1801.04381, tensorflow/models)
    assert sum(row.calls * (row.cost.params or 0) for row in found.rows) == pytest.approx(
        1.97e6, rel=0.01
    )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--cin", "8"], "--cin: where a model's layers are swept, the model says it"),
        (["--model", "resnet18"], "--model: where a model's layers are swept, the model says it"),
        (["--variant", "ghost"], "--variant: where a model's layers are swept, the model says it"),
        (["--input", "160,192"], "--layers-of takes one input"),
        (["--set", "widht=0.5"], "unknown setting 'widht' (did you mean 'width'?)"),
    ],
)
def test_what_the_model_says_is_said_nowhere_else(arguments: list[str], why: str) -> None:
    found = run("sweep", "--layers-of", "mobilenet_v2", *arguments)
    assert found.returncode == 2
    assert why in found.stderr


def test_a_model_of_torch_has_no_layers_to_be_made(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nclass Net(torch.nn.Linear):\n    def __init__(self):\n        super().__init__(4, 4)\n"
    )
    found = run("sweep", "--layers-of", "net.py:Net", "--input", "1,4", cwd=tmp_path)
    assert found.returncode == 2
    assert "takes an architecture, a built-in name or net.yaml" in found.stderr


def test_counting_layers_takes_no_torch() -> None:
    script = (
        "import sys, dscost; dscost.sweep(layers_of='mobilenet_v2'); "
        "print(sorted({'torch', 'numpy', 'onnx'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_layers_are_timed_beside_the_whole(tmp_path: Path) -> None:
    """A tiny network, timed for real: its sum is a number, and the table is without the whole."""
    path = tmp_path / "net.yaml"
    path.write_text(
        "input: [3, 8, 8]\nlayers:\n  - {conv: 3, out_channels: 8}\n  - {conv: 3, out_channels: 8}\n"
    )
    model = find_layers(path)
    found = timed_sweep(model, TimingOptions(threads=1))
    (one,) = found.sums
    assert [row.variant for row in found.rows] == ["convolution", "convolution"]
    assert one.calls == 2
    assert one.sum_s == pytest.approx(sum(row.latency_s or 0.0 for row in found.rows))
    assert one.ci95[0] < one.gap < one.ci95[1]


def test_the_norms_of_a_model_are_its_own() -> None:
    with pytest.raises(
        InputError, match="with norm: the layers of a model have the normalisations"
    ):
        timed_sweep(find_layers("resnet18"), TimingOptions(threads=1, with_norm=True))


def test_a_page_begins_with_the_sum_and_data_has_it() -> None:
    said = SweepSaid(dscost.sweep(layers_of="resnet18")._replace(sums=(GIVEN,)))
    first, *_ = said.pages(View())
    assert first.heading == "the 31 layers of resnet18 on 1×3×224×224, 22 distinct"
    assert str(first.lines[0]).endswith("the sum is 50.0 % more (+48.0 % to +52.0 %)")
    (told,) = said.data(View())["sums"]
    assert told["gap"] == pytest.approx(0.5)
    assert told["where"]["runtime"] == "onnxruntime"
