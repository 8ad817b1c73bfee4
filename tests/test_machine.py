import platform
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import dscost
from dscost.foreign import memory
from dscost.foreign.processor import cpu_name
from dscost.timing import machine
from dscost.timing.quiet_torch import quiet_torch

TWO_SOCKETS = "\n\n".join(
    f"processor\t: {n}\nmodel name\t: Fast Chip 9000\nphysical id\t: {n // 4}\ncore id\t\t: {n % 2}"
    for n in range(8)
)


def test_hyperthreads_of_one_core_count_once(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(TWO_SOCKETS)  # 2 sockets, 2 cores each, 2 threads per core
    assert machine.physical_cores(cpuinfo) == 4
    assert cpu_name(cpuinfo) == "Fast Chip 9000"


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("fpu sse2 avx", "Fast Chip 9000"),
        ("fpu avx avx2", "Fast Chip 9000 (AVX2)"),
        ("fpu avx avx2 avx512f avx512_vnni", "Fast Chip 9000 (AVX-512)"),
    ],
)
def test_processors_of_one_name_are_told_apart_by_their_vectors(
    flags: str, name: str, tmp_path: Path
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"{TWO_SOCKETS}\nflags\t\t: {flags}\n")
    assert cpu_name(cpuinfo) == name


def test_what_the_system_does_not_tell_is_unknown(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    assert machine.physical_cores(missing) is None
    assert memory.available_bytes(missing, missing) is None
    assert cpu_name(missing)
    assert machine.default_threads(missing) >= 1


def test_a_board_without_a_processor_name_is_named_by_what_it_is_compatible_with(
    tmp_path: Path,
) -> None:
    board = tmp_path / "compatible"
    board.write_bytes(b"raspberrypi,4-model-b\0brcm,bcm2711\0")
    architecture = platform.processor() or platform.machine()
    assert cpu_name(tmp_path / "none", board) == f"raspberrypi 4-model-b ({architecture})"


def test_one_core_is_left_for_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(TWO_SOCKETS)
    monkeypatch.setattr(machine, "usable_cores", lambda: 8)
    assert machine.default_threads(cpuinfo) == 3
    monkeypatch.setattr(machine, "usable_cores", lambda: 1)
    assert machine.default_threads(cpuinfo) == 1


def test_free_memory_is_read_in_bytes(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  100 kB\nMemAvailable:    64 kB\n")
    assert memory.available_bytes(meminfo, tmp_path) == 64 * 1024


@pytest.mark.parametrize(
    ("limit", "used", "found"),
    [
        ("40960", "8192", 32768),  # less than what the host has
        ("90112", "8192", 64 * 1024),  # more than that
        ("8192", "9000", 0),
        ("max", "8192", 64 * 1024),
        ("40960", "", 64 * 1024),
        ("", "8192", 64 * 1024),
    ],
    ids=["tighter", "looser", "spent", "no limit", "unknown use", "unknown limit"],
)
def test_a_containers_limit_of_memory_counts_where_it_is_the_tighter_one(
    limit: str, used: str, found: int, tmp_path: Path
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemAvailable:    64 kB\n")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    assert memory.available_bytes(meminfo, tmp_path) == found


def test_files_that_a_container_has_read_and_no_longer_uses_count_as_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("40960\n")
    (tmp_path / "memory.current").write_text("8192\n")
    (tmp_path / "memory.stat").write_text(
        "anon 3072\nfile 5120\ninactive_anon 512\nactive_file 1024\ninactive_file 4096\n"
    )
    assert memory.available_bytes(tmp_path / "nothing", tmp_path) == 40960 - 8192 + 4096


def test_a_containers_limit_of_memory_is_known_where_the_host_does_not_tell(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("40960\n")
    (tmp_path / "memory.current").write_text("8192\n")
    assert memory.available_bytes(tmp_path / "nothing", tmp_path) == 32768


@pytest.mark.parametrize(
    ("granted", "cores"),
    [
        ("300000 100000", 3),
        ("250000 100000", 3),  # of the third core a half
        ("50000 100000", 1),
        ("900000 100000", 8),
        ("max 100000", 8),
        ("300000 0", 8),
        ("300000", 8),
        ("", 8),
        (None, 8),
    ],
    ids=[
        "three",
        "two and a half",
        "half a core",
        "more than there are",
        "no limit",
        "no period",
        "cut",
        "empty",
        "none",
    ],
)
def test_a_containers_limit_of_processor_time_is_one_of_cores(
    granted: str | None, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(
        machine.os, "sched_getaffinity", lambda process: set(range(8)), raising=False
    )
    if granted is not None:
        (tmp_path / "cpu.max").write_text(f"{granted}\n")
    assert machine.usable_cores() == cores
    assert machine.default_threads(tmp_path / "nothing") == max(1, cores - 1)


@pytest.mark.parametrize(
    ("largest", "kept"),
    [(1 << 40, True), (32 << 20, True), ((32 << 20) - 1, False)],
    ids=["any", "half a heap", "none"],
)
def test_freed_memory_is_kept_as_far_as_the_allocator_takes_a_threshold(
    largest: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def mallopt(parameter: int, value: int) -> int:
        asked.append(parameter)
        return int(parameter != -3 or value <= largest)  # M_MMAP_THRESHOLD

    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert machine.keep_freed_memory() is kept
    assert set(asked) == {-1, -3}  # M_TRIM_THRESHOLD as well


def test_measuring_puts_torch_back_as_it_was_also_after_an_error() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with pytest.raises(RuntimeError, match="stop"), quiet_torch(threads=1, seed=7):
        assert torch.get_num_threads() == 1
        assert torch.is_inference_mode_enabled()
        torch.rand(3)
        raise RuntimeError("stop")
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.is_inference_mode_enabled()


def test_the_same_seed_gives_the_same_weights() -> None:
    values = []
    for _ in range(2):
        with quiet_torch(threads=1, seed=5):
            values.append(torch.rand(4))
    assert torch.equal(*values)


def test_autocast_is_off_while_measuring_and_on_again_afterwards() -> None:
    conv, x = torch.nn.Conv2d(2, 2, 3), torch.ones(1, 2, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert conv(x).dtype == torch.bfloat16
        with quiet_torch(threads=1, seed=0):
            assert not torch.is_autocast_enabled("cpu")
            assert not torch.is_autocast_enabled("cuda")
            assert conv(x).dtype == torch.float32
        assert conv(x).dtype == torch.bfloat16


def test_the_callers_modes_are_left_while_measuring_and_entered_again_afterwards() -> None:
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), counter:
        with quiet_torch(threads=1, seed=0):
            weights = torch.ones(4, 4)
            assert (weights @ weights).sum().item() == 4 * 4 * 4
        assert not counter.get_total_flops()
        assert torch.ones(3).is_meta
        torch.ones(4, 4) @ torch.ones(4, 4)
    assert counter.get_total_flops() == 2 * 4 * 4 * 4


def test_fake_weights_are_not_run_and_said_to_be_fake() -> None:
    with FakeTensorMode():
        report = dscost.analyze(torch.nn.Linear(4, 4), input=(1, 4), time=True, device="cpu")
    assert report.timing is None or report.timing.as_is is None
    assert [text for text in report.warnings if "its weights are fake, without values" in text]


@pytest.mark.parametrize(
    ("load", "pressure", "ticks", "kinds"),
    [
        (2.0, 10.0, [(0, 100), (2, 200)], []),
        (2.1, 10.1, [(0, 100), (3, 200)], ["load", "cpu_pressure", "steal"]),
        (None, None, [None, None], []),
    ],
)
def test_what_else_a_machine_does_is_noise_above_a_limit(
    load: float | None,
    pressure: float | None,
    ticks: list[tuple[int, int] | None],
    kinds: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = iter(ticks)
    monkeypatch.setattr(machine, "load", lambda: load)
    monkeypatch.setattr(machine, "cpu_pressure", lambda: pressure)
    monkeypatch.setattr(machine, "processor_ticks", lambda: next(readings))
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    assert [one.kind for one in machine.Watch().noise()] == kinds
