"""Sweeps on a Dask cluster: each key once, whoever dies."""

import csv
import json
import os
import platform
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import timing_workers as workers
from program import run

from dscost.errors import InputError, UnavailableError
from dscost.foreign.logs import quietly
from dscost.foreign.processor import cpu_name
from dscost.sweeping import cluster, crew
from dscost.sweeping.crew import Crew
from dscost.sweeping.distributing import time_on_cluster
from dscost.sweeping.measuring import measure_case
from dscost.sweeping.model_grids import Said, model_cases, model_grid
from dscost.sweeping.records import Case, Visit
from dscost.sweeping.timed import Timed
from dscost.sweeping.work import Found, Job, Told, Work
from dscost.timing import TimingOptions

distributed = pytest.importorskip("distributed", reason="the extra 'distributed' is not installed")
psutil = pytest.importorskip("psutil", reason="it comes with distributed")


class Kept:
    """What a sweep has kept: a journal in memory."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []

    def due(self, jobs: Mapping[str, Job]) -> list[str]:
        return [key for key in jobs if key not in self.keys]

    @property
    def keys(self) -> Counter[str]:
        return Counter(visit.key for visit in self.visits)


def cluster_of(number: int, **further: Any) -> Any:
    """Return a cluster of processes of this machine."""
    settings = {
        "resources": {"timer": 1},
        "threads_per_worker": 1,
        "processes": True,
        "host": "127.0.0.1",
    }
    return distributed.LocalCluster(
        n_workers=number, dashboard_address=None, **{**settings, **further}
    )


@contextmanager
def running(number: int, **further: Any) -> Iterator[Any]:
    """Give a cluster of processes of this machine; none of them is left."""
    before = set(psutil.Process().children(recursive=True))
    with quietly(cluster.SPEAKERS), cluster_of(number, **further) as found:
        yield found
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [one for one in left if "resource_tracker" not in " ".join(one.cmdline())]


@pytest.fixture(scope="module")
def cluster_of_two() -> Iterator[Any]:
    with running(2) as found:
        yield found


@pytest.fixture
def two(cluster_of_two: Any) -> str:
    """The address of a cluster of two workers that no test kills."""
    return str(cluster_of_two.scheduler_address)


def swept(
    scheduler: str,
    cases: list[Case],
    kept: Kept,
    ask: Callable[[], Told] = workers.told_alone,
    measure: Callable[[Case, int], Visit] = workers.measured,
    keep: Callable[[Visit], None] | None = None,
    **further: Any,
) -> Found:
    with cluster.connected(scheduler) as found:
        return Crew(
            found,
            Work([(case, 0) for case in cases], ask, measure),
            kept.due,
            keep or kept.visits.append,
            **further,
        ).run()


def keys_of(cases: list[Case], *devices: str) -> Counter[str]:
    """Return each key once."""
    return Counter(
        case.key(workers.place(device)) for device in devices or ("Xeon",) for case in cases
    )


def test_each_case_is_timed_once_and_both_workers_take_part(two: str) -> None:
    kept, cases, shares = Kept(), workers.cases(12), []
    found = swept(
        two,
        cases,
        kept,
        measure=workers.measured_slowly,
        progress=lambda share, doing: shares.append((share, doing)),
    )
    assert kept.keys == keys_of(cases)
    assert len({visit.where.host for visit in kept.visits}) == 2
    assert (found.failed, found.warnings) == ((), ())
    assert shares[-1][0] == 1.0
    assert shares[-2][1].startswith("timing on 1 worker: 11 of 12")


def test_what_is_kept_is_not_timed_again(two: str) -> None:
    kept, cases = Kept(), workers.cases(4)
    kept.visits += [workers.measured(cases[1], 0)]
    swept(two, cases, kept)
    assert kept.keys == keys_of(cases)


@pytest.fixture(scope="module")
def mortal() -> Iterator[str]:
    """The address of a cluster whose workers tests kill: one is left, should Dask start none again."""
    with running(4) as found:
        yield str(found.scheduler_address)


def test_a_worker_killed_in_mid_run_loses_nothing(mortal: str) -> None:
    kept, cases = Kept(), workers.cases(16)

    def keep(visit: Visit) -> None:
        kept.visits.append(visit)
        if len(kept.visits) == 4:
            os.kill(int(visit.where.host), signal.SIGKILL)

    found = swept(mortal, cases, kept, measure=workers.measured_slowly, keep=keep)
    assert kept.keys == keys_of(cases)
    assert (found.failed, found.warnings) == ((), ())


def test_a_case_that_kills_its_workers_is_told_as_untimed_and_the_others_are_timed(
    mortal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "MOST_DEATHS", 2)
    kept, cases = Kept(), workers.cases(6)
    swept(mortal, cases, kept, measure=workers.deadly_at_three)
    assert kept.keys == keys_of(cases)
    (deadly,) = [visit for visit in kept.visits if visit.untimed]
    assert deadly.key == cases[2].key(workers.place())
    assert deadly.untimed == {"standard": "2 workers died while they timed it"}


def test_a_case_that_raises_is_told_and_not_kept(two: str) -> None:
    kept, cases = Kept(), workers.cases(4)
    found = swept(two, cases, kept, measure=workers.failing_at_two)
    (failed,) = found.failed
    assert failed.key == cases[1].key(workers.place())
    assert failed.untimed == {"standard": "MemoryError: not enough for it"}
    assert kept.keys == keys_of([cases[0], *cases[2:]])


def test_every_kind_of_device_times_every_case(two: str) -> None:
    kept, cases = Kept(), workers.cases(5)
    ask, measure = workers.told_of_two_kinds, workers.measured_on_a_board
    found = swept(two, cases, kept, ask=ask, measure=measure)
    assert kept.keys == keys_of(cases, "Board 0", "Board 1")
    assert sorted(kind[0].device for kind in found.kinds) == ["Board 0", "Board 1"]


def test_workers_of_one_machine_never_time_at_once(two: str, tmp_path: Path) -> None:
    kept, cases = Kept(), workers.cases(12)
    measure = partial(workers.measured_alone, folder=str(tmp_path))
    swept(two, cases, kept, ask=workers.told_of_one_machine, measure=measure)
    assert kept.keys == keys_of(cases)
    assert not [visit for visit in kept.visits if visit.untimed]


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (workers.told_without_torch, "torch is not installed: pip install 'dscost[torch]'"),
        (workers.told_too_coarse, "the clock is too coarse"),
        (
            partial(__import__, "dscost.no_such_module"),
            "dscost is not installed: pip install 'dscost[distributed]', or is too old",
        ),
        (
            partial(__import__, "no_such_module"),
            "ModuleNotFoundError: No module named 'no_such_module'",
        ),
    ],
    ids=["torch", "clock", "ours", "module"],
)
def test_workers_that_cannot_time_say_why(
    two: str, ask: Callable[[], Told], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "ARRIVAL_S", 0.0)
    with pytest.raises(UnavailableError, match=r"no worker of tcp://\S+ can time: ") as caught:
        swept(two, workers.cases(1), Kept(), ask=ask)
    assert str(caught.value).endswith(why)


def test_other_versions_on_a_worker_are_told(two: str) -> None:
    found = swept(two, workers.cases(1), Kept(), ask=workers.told_of_an_old_python)
    (warning,) = found.warnings
    assert warning.startswith("pi has Python 3.9.1, and not 3.")


def test_ctrl_c_keeps_what_is_done_and_takes_back_the_rest(two: str, cluster_of_two: Any) -> None:
    kept, cases = Kept(), workers.cases(30)

    def keep(visit: Visit) -> None:
        kept.visits.append(visit)
        if len(kept.visits) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(two, cases, kept, measure=workers.measured_slowly, keep=keep)
    assert len(kept.visits) == 3
    assert len(cluster_of_two.scheduler.tasks) <= 2  # what was being timed
    swept(two, cases, kept)
    assert kept.keys == keys_of(cases)


def test_workers_that_do_not_offer_to_time_are_told_how_to() -> None:
    with running(1, resources={}, processes=False, protocol="tcp://") as found:
        address = found.scheduler_address
        with pytest.raises(UnavailableError) as caught:
            swept(address, workers.cases(1), Kept())
    command = f"dask worker {address} --nthreads 1 --resources timer=1"
    assert str(caught.value) == f"no worker of {address} offers to time: start each by {command}"


def test_a_worker_that_joins_later_takes_part_and_one_kind_gone_is_waited_for() -> None:
    kept, cases, said = Kept(), workers.cases(6), []

    def keep(visit: Visit) -> None:
        kept.visits.append(visit)

    def progress(share: float | None, doing: str) -> None:
        said.append(doing)
        if "waiting for a worker" in doing and not joining.is_alive() and not joining.ident:
            joining.start()

    with running(0) as found:
        joining = Thread(target=found.scale, args=(1,))
        swept(found.scheduler_address, cases, kept, keep=keep, progress=progress)
        joining.join()
    assert kept.keys == keys_of(cases)
    assert any("--resources timer=1" in doing for doing in said)


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    with socket.socket() as taken:  # nobody listens there
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            UnavailableError, match=f"--scheduler {address}: no Dask scheduler answers there"
        ):
            swept(address, workers.cases(1), Kept())


@pytest.mark.parametrize(
    "address", ["nonsense", "http://127.0.0.1:8786", "tcp://127.0.0.1", "tcp://127.0.0.1:x"]
)
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(InputError) as caught:
        swept(address, workers.cases(1), Kept())
    assert str(caught.value) == f"--scheduler {address}: no address such as tcp://192.168.0.10:8786"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        found.listen()
        yield found


def test_an_encrypted_address_needs_a_certificate(listener: socket.socket) -> None:
    address = f"tls://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(InputError, match=f"--scheduler {address}: .*ssl"):
        swept(address, workers.cases(1), Kept())


def test_what_listens_and_says_nothing_is_no_scheduler(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    with pytest.raises(UnavailableError, match="what listens there says nothing"):
        swept(f"tcp://127.0.0.1:{listener.getsockname()[1]}", workers.cases(1), Kept())


def test_what_answers_otherwise_is_no_scheduler(listener: socket.socket) -> None:
    def answer() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9)
                connection.close()

    Thread(target=answer, daemon=True).start()
    with pytest.raises(UnavailableError, match="something else listens there"):
        swept(f"tcp://127.0.0.1:{listener.getsockname()[1]}", workers.cases(1), Kept())


# -- with a journal


def timed(scheduler: str, cases: list[Case], journal: Path, **further: Any) -> Timed:
    given = {"measure": workers.measured_there, "ask": workers.asked, **further}
    return time_on_cluster(cases, TimingOptions(), scheduler=scheduler, journal=journal, **given)


def test_a_table_has_every_case_once_for_each_kind(two: str, tmp_path: Path) -> None:
    cases, journal = workers.cases(3), tmp_path / "journal.jsonl"
    found = timed(
        two, cases, journal, ask=workers.asked_two_kinds, measure=workers.measured_on_a_kind
    )
    rows = found.rows(cases)
    assert Counter((row.of["in_channels"], row.where.device) for row in rows) == Counter(
        (n, device) for n in (1, 2, 3) for device in ("Board 0", "Board 1")
    )
    assert all(row.latency_s == pytest.approx(1e-3) for row in rows)
    assert (found.unfinished, found.doubtful, found.known) == (0, 0, 0)


def test_going_on_times_only_what_is_missing(two: str, tmp_path: Path) -> None:
    cases, journal, notes = workers.cases(5), tmp_path / "journal.jsonl", []
    timed(two, cases[:3], journal)
    found = timed(two, cases, journal, note=notes.append)
    assert (found.known, found.unfinished) == (3, 0)
    assert notes == [f"3 of 5 cases of Xeon are in {journal}"]
    assert len(journal.read_text().splitlines()) == 1 + 5
    timed(two, cases, journal, fresh=True)
    assert len(journal.read_text().splitlines()) == 1 + 5


def test_the_code_of_a_model_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch.nn as nn\ndef make(): return nn.Sequential(nn.Conv2d(3, 8, 3))\n"
    )
    target = f"{tmp_path / 'net.py'}:make"
    cases = [
        one
        for one in model_cases(model_grid(Said([target], input="1,3,16,16")))
        if isinstance(one, Case)
    ]
    with pytest.raises(InputError) as caught:
        time_on_cluster(cases, TimingOptions(), scheduler="tcp://127.0.0.1:1")
    assert str(caught.value) == (
        f"--scheduler: {target} is code, which is not sent to other machines: "
        "time it on this one, or give an architecture"
    )


def test_a_case_whose_reference_layer_moved_is_timed_again(two: str, tmp_path: Path) -> None:
    cases = workers.cases(6)
    found = timed(
        two, cases, tmp_path / "journal.jsonl", measure=workers.measured_unsteadily_at_two
    )
    visits = {case.of["in_channels"]: found.visits[case.key(found.places[0])] for case in cases}
    # two visits more than there are cases are a third of them
    assert {n: len(of_case) for n, of_case in visits.items()} == {
        1: 1,
        2: 3,
        3: 1,
        4: 1,
        5: 1,
        6: 1,
    }
    assert found.doubtful == 0


def test_a_case_that_raised_has_a_note_and_is_not_in_the_journal(two: str, tmp_path: Path) -> None:
    cases, journal = workers.cases(3), tmp_path / "journal.jsonl"
    found = timed(two, cases, journal, measure=workers.failing_there)
    notes = [row.note for row in found.rows(cases)]
    assert notes == ["", "not timed: MemoryError: not enough for it", ""]
    assert len(journal.read_text().splitlines()) == 1 + 2
    assert found.unfinished == 1


def test_the_command_times_real_layers_on_workers_and_writes_a_table(
    two: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = partial(measure_case, comparison_s=0.02)
    monkeypatch.setitem(time_on_cluster.__kwdefaults__, "measure", quick)
    table = tmp_path / "lut.csv"
    grid = ("--cin", "4", "--cout", "8", "-k", "1", "--size", "8", "--variant", "standard")
    ran = run("sweep", *grid, "--time", "--time-budget", "1s", "--scheduler", two, "-o", str(table))
    assert ran.returncode == 0
    assert f"wrote {table}" in ran.stderr.splitlines()
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert (row["in_channels"], row["device"]) == ("4", cpu_name())
    assert float(row["latency_s"]) > 0
    _, *lines = (tmp_path / "lut.csv.journal").read_text().splitlines()
    where = json.loads(lines[0])["where"]
    assert (where["host"], where["device"], list(where["versions"])) == (
        platform.node(),
        cpu_name(),
        ["torch"],
    )


def test_workers_are_only_asked_where_something_is_timed() -> None:
    ran = run("sweep", "--cin", "4", "--cout", "8", "-k", "1", "--scheduler", "tcp://127.0.0.1:1")
    assert (ran.returncode, ran.stderr) == (2, "dscost: --scheduler needs timing: add --time\n")


def test_without_distributed_it_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(cluster, "import_module", missing)
    ran = run(
        "sweep",
        "--cin",
        "4",
        "--cout",
        "8",
        "-k",
        "1",
        "--time",
        "--scheduler",
        "tcp://127.0.0.1:1",
    )
    assert ran.returncode == 2
    assert (
        ran.stderr
        == "dscost: --scheduler: distributed is not installed: pip install 'dscost[distributed]'\n"
    )
