import sys
from pathlib import Path

import pytest

from dscost.timing.counters import (
    cpu_pressure,
    no_counters,
    process_counters,
    processor_ticks,
    stolen_share,
)

PRESSURE = "some avg10=1.53 avg60=1.87 avg300=1.73 total=1088168194\nfull avg10=0.25 avg60=0.16 avg300=0.10 total=128914831\n"
STAT = (
    "cpu  4705 150 1120 16250856 250 10 127 77 5 3\n"
    "cpu0 1393280 32966 572056 13343292 6130 0 17875 9 0 0\n"
    "intr 114930548 113199788\n"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_pressure_is_the_last_ten_seconds_of_anything_that_waited(path: Path) -> None:
    path.write_text(PRESSURE)
    assert cpu_pressure(path) == 1.53
    path.write_text("\n".join(reversed(PRESSURE.splitlines())))
    assert cpu_pressure(path) == 1.53


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "Operation not supported\n",
        "some\n",
        "some avg60=1.87\n",
        "full avg10=0.25 avg60=0.16\n",
        "some avg10= avg60=1.87\n",
        "some avg10=much avg60=1.87\n",
    ],
    ids=[
        "empty",
        "blank",
        "words",
        "no figures",
        "no avg10",
        "full only",
        "avg10 is empty",
        "avg10 is no number",
    ],
)
def test_pressure_that_cannot_be_read_is_unknown(path: Path, text: str) -> None:
    path.write_text(text)
    assert cpu_pressure(path) is None


def test_stolen_ticks_are_the_eighth_field_of_the_line_of_all_processors(path: Path) -> None:
    path.write_text(STAT)
    # the ninth and tenth, time of guests, are in the first two already
    assert processor_ticks(path) == (77, 4705 + 150 + 1120 + 16250856 + 250 + 10 + 127 + 77)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "cpu  1 2 3\n",
        "cpu  1 2 3 4 5 6 7\n",
        "cpu0 1 2 3 4 5 6 7 8\n",
        "cpu a b c d e f g h\n",
        "cpu  1 2 3 4 5 6 7 -\n",
    ],
    ids=["empty", "blank", "three fields", "no steal", "one processor", "words", "no number"],
)
def test_ticks_that_cannot_be_read_are_unknown(path: Path, text: str) -> None:
    path.write_text(text)
    assert processor_ticks(path) is None


@pytest.mark.parametrize("read", [cpu_pressure, processor_ticks], ids=lambda read: read.__name__)
def test_a_file_that_is_missing_a_folder_or_binary_is_unknown(read: object, tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    for path in (tmp_path / "nothing", tmp_path, binary):
        assert read(path) is None


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        ((77, 1000), (87, 1200), 10 / 200),
        ((77, 1000), (77, 1200), 0.0),
        ((77, 1000), (77, 1000), None),
        (None, (77, 1000), None),
        ((77, 1000), None, None),
        (None, None, None),
    ],
    ids=[
        "some",
        "none",
        "no time has passed",
        "no reading before",
        "no reading after",
        "no reading",
    ],
)
def test_the_stolen_share_is_that_of_the_time_between(
    before: tuple[int, int] | None, after: tuple[int, int] | None, share: float | None
) -> None:
    assert stolen_share(before, after) == share


def test_a_system_without_resource_has_no_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows: importing it fails
    assert process_counters() is no_counters
    assert process_counters()() == (None, None)


@pytest.mark.skipif(sys.platform == "win32", reason="has no resource usage")
def test_a_first_touch_of_memory_is_a_page_fault() -> None:
    from mmap import PAGESIZE, mmap

    read = process_counters()
    switches, faults = read()
    pages = 2000
    with mmap(-1, pages * PAGESIZE) as memory:
        for page in range(pages):
            memory[page * PAGESIZE] = 1
    switches_after, faults_after = read()
    assert switches is not None
    assert switches_after is not None
    assert switches_after >= switches >= 0
    assert faults is not None
    assert faults_after is not None
    # a system with large pages needs fewer, but some
    assert faults_after > faults
