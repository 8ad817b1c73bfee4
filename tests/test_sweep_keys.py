"""What tells a case from others in a journal, and the rows of one place from those of another."""

from dataclasses import dataclass

import pytest
from visits import HERE, visit

from dscost.layers.convolution import conv2d
from dscost.layers.others import Part
from dscost.networks.architectures import build, find_builtin
from dscost.notation.units import dtype_bytes
from dscost.reports.records import Speedup
from dscost.sweeping import measuring
from dscost.sweeping.joining import rows_of
from dscost.sweeping.kinds import by_kind
from dscost.sweeping.measuring import where_of, work_of_unit
from dscost.sweeping.model_layers import layers_of
from dscost.sweeping.records import Case, Sweep
from dscost.sweeping.units import Unit
from dscost.timing import Setting, TimingOptions


def case_of(*parts: Part, **further: int) -> Case:
    return Case({}, (Unit("standard", parts, (1, 8, 8, 8), **further),))


@pytest.mark.parametrize(
    "given",
    [{"allocator": "system"}, {"precision": 0.001}, {"seed": 1}, {"with_norm": True}],
    ids=str,
)
def test_what_changes_what_is_measured_makes_another_case(given: dict[str, object]) -> None:
    case, setting = case_of(("standard", conv2d(8, 8, 3))), Setting()
    usual, other = (where_of(TimingOptions(**one), setting) for one in ({}, given))
    assert case.key(usual) != case.key(other)
    assert {name: getattr(other, name) for name in given} == given


def test_the_budget_and_the_name_of_the_machine_make_no_other_case() -> None:
    case, setting = case_of(("standard", conv2d(8, 8, 3))), Setting()
    usual, other = (where_of(TimingOptions(budget_s=one), setting) for one in (None, 5.0))
    assert case.key(usual) == case.key(other._replace(host="elsewhere"))


def test_every_number_of_a_layer_makes_another_case() -> None:
    specs = [
        *(conv2d(8, 8, 3), conv2d(8, 8, 5), conv2d(8, 16, 3), conv2d(8, 8, 3, padding=1)),
        *(conv2d(8, 8, 3, stride=2), conv2d(8, 8, 3, groups=8), conv2d(8, 8, 3, bias=True)),
    ]
    keys = [case_of(("standard", spec)).key(HERE) for spec in specs]
    keys.append(case_of(("another", specs[0])).key(HERE))
    keys.append(case_of(("standard", specs[0]), between_elements=9).key(HERE))
    assert len({*keys}) == len(keys)


def test_a_spec_that_learns_to_say_more_keeps_its_key() -> None:
    def before() -> object:
        @dataclass(frozen=True)
        class Spec:
            channels: int

        return Spec(8)

    def after(more: int = 0) -> object:
        @dataclass(frozen=True)
        class Spec:
            channels: int
            more: int = 0

        return Spec(8, more)

    keys = [case_of(("a", one)).key(HERE) for one in (before(), after(), after(1))]  # type: ignore[arg-type]
    assert keys[0] == keys[1] != keys[2]


def test_a_layer_of_a_model_is_cooled_by_the_dtype_that_it_is_timed_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pass of VGG-16 uses 138,357,544 weights, and at most the image and the largest maps."""
    used: list[int] = []

    def in_turns(work: object, weights: int, between: int) -> _Work:
        used.append(between)
        return _Work()

    monkeypatch.setattr(measuring, "work_of", lambda *given, **named: None)
    monkeypatch.setattr(measuring, "in_turns", in_turns)
    operations = build(find_builtin("vgg16"), overrides={}).operations
    first = [layers_of("vgg16", operations, dtype).layers[0] for dtype in ("float32", "float16")]
    for case in first:
        for dtype in ("float32", "float16"):
            work_of_unit(case.units[0], TimingOptions(), Setting(dtype=dtype))
    elements = 138_357_544 + (3 + 2 * 64) * 224 * 224
    assert used == 2 * [dtype_bytes("float32") * elements, dtype_bytes("float16") * elements]
    assert first[0].key(HERE) == first[1].key(HERE)


class _Work:
    def _replace(self, **given: object) -> "_Work":
        return self


def test_a_variant_that_a_layer_lacks_is_told_of_each_place_once() -> None:
    places = [HERE, HERE._replace(runtime="onnxruntime"), HERE._replace(device="Cortex-A72")]
    unit = Unit("standard", (("standard", conv2d(8, 8, 3)),), (1, 8, 8, 8))
    case = Case({"dtype": "float32"}, (unit,), {"ghost": "none is cheaper"})
    speedups = {"standard": Speedup(1.0, (0.9, 1.1))}
    visits = {case.key(one): (visit(case.key(one), speedups, where=one),) for one in places}
    rows = rows_of([case], visits, places)
    lacking = [row for row in rows if row.variant == "ghost"]
    assert [row.where for row in lacking] == places
    assert [row.latency_s for row in lacking] == [None] * 3
    kinds = by_kind(Sweep("1 convolution", 1, rows))
    assert [[row.variant for row in one.rows] for one in kinds.values()] == [
        ["standard", "ghost", "standard", "ghost"],
        ["standard", "ghost"],
    ]
