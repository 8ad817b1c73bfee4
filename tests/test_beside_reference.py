"""Layers timed in turns with one that is always the same: made-up time says what must come of it."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from swept import grid_of

from dscost.analysis import bench, beside_reference, running
from dscost.analysis.bench import Bench
from dscost.analysis.beside_reference import REFERENCE_LAYER, Beside, Place, moved_of, place_of
from dscost.analysis.running import Work, work_of
from dscost.errors import UnavailableError
from dscost.layers.convolution import conv2d
from dscost.networks.network import stage_costs
from dscost.reports.records import SAME_WITHIN
from dscost.sweeping.cases import cases_of
from dscost.sweeping.measuring import measure_case, settings_of, where_of, work_of_unit
from dscost.sweeping.records import Case as SweptCase
from dscost.timing import Setting, TimingOptions
from dscost.timing.engine import Case
from dscost.timing.samples import Block, Measurement, Quartet, Round

HERE = Setting()
OPTIONS = TimingOptions(threads=1)


class Engine:
    """An engine that tells made-up times, by the name of the comparison, and how they move by round."""

    def __init__(self) -> None:
        self.seconds = {
            "standard": (2e-3, 1e-3),
            "ghost": (2e-3, 4e-3),
            "ghost beside standard": (1e-3, 2e-3),
        }
        self.moves: Sequence[float] = (1.0,) * 9
        self.misses: dict[str, int] = {}
        self.itself = 1.0
        self.asked: list[tuple[list[str], float]] = []

    def compare(self, cases: Sequence[Case], **given: Any) -> list[Measurement]:
        self.asked.append(([case.name for case in cases], given["budget_s"]))
        return [Measurement(list(self.rounds(case.name))) for case in cases]

    def rounds(self, name: str) -> Iterator[Round]:
        if self.misses.get(name, 0):
            self.misses[name] -= 1
            return
        is_itself = name.startswith(bench.AGAINST_ITSELF)
        first, second = (1e-3, self.itself * 1e-3) if is_itself else self.seconds[name]
        for move in self.moves:
            block = partial(Block, switches=0, faults=0.0)
            quartet = Quartet((block(first * move),) * 2, (block(second * move),) * 2)
            yield Round.of([quartet] * 4)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    fake = Engine()
    monkeypatch.setattr(bench, "compare", fake.compare)
    return fake


def work(name: str, channels: int = 8, size: int = 6, setting: Setting = HERE) -> Work:
    stages = stage_costs(
        [(name, conv2d(channels, channels, 3, padding=1))], (1, channels, size, size), 4
    )
    return work_of(stages, setting)._replace(name=name)


def timed(place: Place | None = None, **works: Work) -> Beside:
    return (place or Place(OPTIONS, HERE)).timed(
        works or {"standard": work("a"), "ghost": work("b")}
    )


# -- what is compared


def test_each_work_is_compared_with_the_reference_layer_and_with_the_first(engine: Engine) -> None:
    found = timed()
    ((names, _),) = engine.asked
    assert names == ["standard", "ghost", "ghost beside standard", bench.AGAINST_ITSELF]
    assert {label: one.median for label, one in found.beside.items()} == pytest.approx(
        {"standard": 2.0, "ghost": 0.5}
    )
    assert {label: one.median for label, one in found.speedups.items()} == pytest.approx(
        {"ghost": 0.5}
    )
    assert found.reference_s == pytest.approx(2e-3)
    assert found.samples == {
        "standard": 72,
        "ghost": 72,
    }  # 9 rounds of 4 quartets, 2 blocks of each
    assert (found.moved, found.untimed) == (0.0, {})


def test_a_single_work_is_compared_with_the_reference_layer_alone(engine: Engine) -> None:
    found = timed(standard=work("a"))
    assert engine.asked[0][0] == ["standard", bench.AGAINST_ITSELF]
    assert found.speedups == {}


def test_what_the_reference_layer_moved_by_is_told_and_the_ratio_knows_nothing_of_it(
    engine: Engine,
) -> None:
    engine.moves = (1.0, 1.0, 1.0, 1.1, 1.1, 1.2, 1.25, 1.25, 1.25)
    found = timed()
    assert found.moved == pytest.approx(0.25)
    assert found.beside["standard"].median == pytest.approx(2.0)
    assert found.reference_s == pytest.approx(2e-3 * 1.1)


@pytest.mark.parametrize(
    ("seconds", "moved"),
    [
        ([], 0.0),
        ([1.0, 9.0], 0.0),
        ([1.0, 5.0, 1.2], 0.2),
        ([1.5, 1.0, 1.0], 0.5),
        ([1.0, 1.0, 9.0, 2.0, 2.0, 3.0, 1.1, 1.1, 1.1], 0.1),
    ],
)
def test_moved_is_from_the_first_to_the_last_third(seconds: list[float], moved: float) -> None:
    assert moved_of(seconds) == pytest.approx(moved)


def test_by_the_clock_cpu_everything_is_processor_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rounds(name: str) -> Iterator[Round]:
        block = partial(Block, switches=0, faults=0.0)
        first, second = block(9e-3, cpu_s=3e-3), block(9e-3, cpu_s=2e-3)
        yield from [Round.of([Quartet((first,) * 2, (second,) * 2)] * 4)] * 9

    monkeypatch.setattr(engine, "rounds", rounds)
    place = Place(OPTIONS._replace(clock="cpu"), HERE)
    found = timed(place, standard=work("a"))
    assert found.beside["standard"].median == pytest.approx(1.5)
    assert found.reference_s == pytest.approx(3e-3)


# -- what is made once, and how long it takes


def test_the_reference_layer_is_made_once_and_the_noise_looked_at_once_where_it_is_quiet(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    prepared = running.prepared

    def noting(one: Work, *args: Any, **given: Any) -> Any:
        made.append(one.name)
        return prepared(one, *args, **given)

    monkeypatch.setattr(bench, "prepared", noting)
    place = Place(OPTIONS, HERE)
    for _ in range(3):
        timed(place, standard=work("a"))
    assert made == [REFERENCE_LAYER, "a", "a", "a"]
    assert [names for names, _ in engine.asked] == [
        ["standard", bench.AGAINST_ITSELF],
        *[["standard"]] * 2,
    ]


def test_the_noise_is_looked_at_each_time_until_it_is_quiet(engine: Engine) -> None:
    place = Place(OPTIONS, HERE)
    floors = []
    for itself in (1.5, 1.2, 1.0, 1.5):
        engine.itself = itself
        floors.append(timed(place, standard=work("a")).beside["standard"].noise_floor)
    assert floors == pytest.approx([0.5, 0.2, SAME_WITHIN, SAME_WITHIN])


def test_a_place_is_the_same_each_time_and_another_for_another_setting() -> None:
    assert place_of(OPTIONS, HERE) is place_of(TimingOptions(threads=1), Setting())
    assert place_of(OPTIONS, HERE) is not place_of(OPTIONS, Setting(dtype="float64"))


def test_slow_calls_have_as_long_as_enough_of_them_take_up_to_a_limit(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_s = {"standard": 1e-3, "ghost": 1e-3}
    monkeypatch.setattr(Bench, "call_s", lambda bench, name, *_: call_s[name])
    place = Place(OPTIONS, HERE)
    for standard_s, ghost_s in (
        (1e-3, 1e-3),
        (1e-3, 1e-3),
        (0.05, 1e-3),
        (0.05, 0.1),
        (0.05, 10.0),
    ):
        call_s.update(standard=standard_s, ghost=ghost_s)
        timed(place)
    budgets = [budget_s for _, budget_s in engine.asked]
    reference_s = 1e-3
    assert budgets == pytest.approx(
        [
            4 * 0.35,  # the noise of the machine is one of them
            3 * 0.35,
            40 * (reference_s + 0.05) + 0.35 + 40 * (0.05 + 1e-3),
            40 * (reference_s + 0.05) + 40 * (reference_s + 0.1) + 40 * (0.05 + 0.1),
            40 * (reference_s + 0.05) + 20 + 20,
        ]
    )


def test_by_the_clock_cpu_a_comparison_has_twice_as_long(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "call_s", lambda *_: 1e-3)
    timed(Place(OPTIONS._replace(clock="cpu"), HERE), standard=work("a"))
    assert engine.asked[0][1] == pytest.approx(2 * 2 * 0.35)


# -- what goes wrong


def test_what_does_not_fit_has_four_times_as_long_once(engine: Engine) -> None:
    engine.misses = {"ghost": 1}
    assert timed().beside.keys() == {"standard", "ghost"}
    (_, first_s), (names, second_s) = engine.asked
    assert (names, second_s) == (["ghost"], 4 * first_s)
    engine.misses = {"ghost": 2}
    found = timed()
    assert found.beside.keys() == {"standard"}
    assert found.untimed == {"ghost": "enough calls do not fit in 5.60 s"}


def test_a_work_that_fails_when_it_is_called_says_why(engine: Engine) -> None:
    class Failing(torch.nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls > 1:  # it could be made
                raise RuntimeError("out of memory")
            return x

    found = timed(standard=work("a"), ghost=work("b")._replace(build=Failing))
    assert found.beside.keys() == {"standard"}
    assert found.untimed == {"ghost": "ghost: out of memory"}


def test_a_work_that_cannot_be_made_says_why_and_the_others_are_timed(engine: Engine) -> None:
    impossible = work("b")._replace(needed_bytes=10**18)
    found = timed(standard=work("a"), ghost=impossible)
    assert found.beside.keys() == {"standard"}
    assert found.untimed["ghost"].startswith("b needs 888.2 PiB of memory, ")
    found = timed(standard=impossible, ghost=work("a"))
    assert engine.asked[-1][0] == ["ghost", bench.AGAINST_ITSELF]
    assert (found.speedups, list(found.untimed)) == ({}, ["standard"])


def test_where_nothing_can_be_timed_the_case_says_so(engine: Engine) -> None:
    found = timed(standard=work("a")._replace(needed_bytes=10**18))
    assert (found.beside, found.reference_s, found.moved) == ({}, 0.0, 0.0)


def test_where_the_reference_layer_cannot_run_nothing_can(engine: Engine) -> None:
    place = Place(OPTIONS, Setting(dtype="int8"))
    with pytest.raises(UnavailableError, match=r"^torch runs no convolution in int8 on cpu"):
        timed(place)


# -- for real


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside_reference, "COMPARISON_S", 0.05)


def case_of(*variants: str, **axes: Any) -> SweptCase:
    (case,) = cases_of(grid_of(variants, in_channels=(8,), out_channels=(8,), **axes))
    assert isinstance(case, SweptCase)
    return case


@pytest.mark.usefixtures("short")
def test_a_case_is_measured_and_both_it_and_the_visit_can_go_to_another_process() -> None:
    threads = torch.get_num_threads()
    case = pickle.loads(pickle.dumps(case_of("depthwise_separable", "inverted_residual:6")))
    options, (setting,) = pickle.loads(pickle.dumps((OPTIONS, settings_of(OPTIONS, "float32"))))
    visit = pickle.loads(pickle.dumps(measure_case(case, options, setting)))
    labels = ["standard", "depthwise_separable", "inverted_residual:6"]
    assert list(visit.beside) == list(visit.samples) == labels
    assert list(visit.speedups) == labels[1:]
    assert visit.key == case.key(visit.where)
    assert visit.where == where_of(OPTIONS, setting)
    assert visit.where.versions == {"torch": torch.__version__}
    assert (visit.where.threads, visit.where.runtime, visit.where.dtype) == (1, "torch", "float32")
    for speedup in (*visit.beside.values(), *visit.speedups.values()):
        assert 0 < speedup.ci95[0] <= speedup.median <= speedup.ci95[1]
    assert visit.reference_s > 0
    assert visit.began_at > 0
    assert visit.took_s > 0
    assert torch.get_num_threads() == threads


def test_the_time_of_a_whole_sweep_makes_no_other_place(engine: Engine) -> None:
    (setting,) = settings_of(OPTIONS, "float32")
    place_of.cache_clear()
    for budget_s in (None, 5.0, 6.0):
        measure_case(case_of(), OPTIONS._replace(budget_s=budget_s), setting)
    assert sum(bench.AGAINST_ITSELF in names for names, _ in engine.asked) == 1


@pytest.mark.parametrize("with_norm", [False, True])
def test_a_norm_and_a_relu_stand_behind_each_convolution_where_that_is_asked_for(
    with_norm: bool,
) -> None:
    (_, separable) = case_of("depthwise_separable").units
    options = OPTIONS._replace(with_norm=with_norm)
    module = work_of_unit(separable, options, HERE).build()
    kinds = [type(one).__name__ for one in module.modules() if not list(one.children())]
    behind = ["BatchNorm2d", "ReLU"] if with_norm else []
    assert kinds == ["Conv2d", *behind] * 2


def test_other_operations_are_made_too() -> None:
    grids: list[Mapping[str, Any]] = [
        {"operation": "linear", "kinds": ["Linear"]},
        {"operation": "global_pooling", "kinds": ["AdaptiveAvgPool2d"]},
    ]
    for one in grids:
        case = next(iter(cases_of(grid_of(())._replace(operation=one["operation"]))))
        assert isinstance(case, SweptCase)
        (unit,) = case.units
        work = work_of_unit(unit, OPTIONS, HERE)
        module, arguments = work.build(), work.arguments()
        module(*arguments[0])
        kinds = [type(each).__name__ for each in module.modules() if not list(each.children())]
        assert kinds == one["kinds"]
