from pathlib import Path

import pytest

import dscost
from dscost.devices.sheets import devices, find_device, read_device
from dscost.errors import FileProblems, InputError, UnknownNameError
from dscost.notation.units import DTYPE_BYTES

FILE = """\
name: My board
source: its data sheet
flops_per_s: {float32: 1e9, int8: 4e9}
bytes_per_s: 2e9
"""


def test_devices_of_one_name_are_told_apart_in_a_report(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "t4.yaml" for folder in ("a", "b")]
    for path, flops_per_s in zip(paths, ("1e9", "2e9"), strict=True):
        path.parent.mkdir()
        path.write_text(FILE.replace("1e9", flops_per_s))
    report = dscost.analyze("vgg16", on=["t4", *map(str, paths), "v100"])
    assert (
        list(report.predictions)
        == ["t4", *map(str, paths), "v100"]
        == list(report.layers[0].predictions)
    )
    slow, fast = (report.predictions[str(path)]["as_is"].roofline_s for path in paths)
    assert slow > fast
    assert list(dscost.analyze("vgg16", on=str(paths[0])).predictions) == ["t4"]


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "board.yaml"
    path.write_text(text)
    with pytest.raises(FileProblems) as caught:
        read_device(path)
    return [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("name", "dtype", "flops_per_s", "bytes_per_s"),
    [
        ("raspberry_pi_4", "float32", 4 * 1.5e9 * 4 * 2, 3.2e9 * 32 / 8),
        ("raspberry_pi_5", "float32", 4 * 2.4e9 * 2 * 4 * 2, 4.267e9 * 32 / 8),
        ("raspberry_pi_5", "float16", 4 * 2.4e9 * 2 * 8 * 2, 4.267e9 * 32 / 8),
        ("raspberry_pi_5", "int8", 4 * 2.4e9 * 2 * 16 * 2, 4.267e9 * 32 / 8),
        ("pixel_6", "float32", 2.8e9 * 4 * 4 * 2, 6.4e9 * 64 / 8),
        ("snapdragon_888", "int8", 2.84e9 * 4 * 16 * 2, 6.4e9 * 64 / 8),
        ("jetson_nano", "float32", 128 * 921.6e6 * 2, 3.2e9 * 64 / 8),
        ("jetson_orin_nano", "float32", 1024 * 625e6 * 2, 68e9),
        ("apple_m1_gpu", "float32", 2.6e12, 4.266e9 * 128 / 8),
        ("t4", "float32", 2560 * 1.59e9 * 2, 10e9 * 256 / 8),
        ("v100", "float32", 5120 * 1.53e9 * 2, 900e9),
        ("a100", "float32", 6912 * 1.41e9 * 2, 1555e9),
        ("h100", "float32", 16896 * 1.98e9 * 2, 3350e9),
        ("rtx_2080_ti", "float32", 4352 * 1.545e9 * 2, 14e9 * 352 / 8),
        ("rtx_4090", "float32", 16384 * 2.52e9 * 2, 21e9 * 384 / 8),
    ],
)
def test_figures_agree_with_units_times_clock(
    name: str, dtype: str, flops_per_s: float, bytes_per_s: float
) -> None:
    found = find_device(name, dtype)
    assert found.flops_per_s == pytest.approx(flops_per_s, rel=0.01)
    assert found.bytes_per_s == pytest.approx(bytes_per_s, rel=0.01)


def test_every_device_names_its_source_and_gains_by_smaller_numbers() -> None:
    assert len({device.key for device in devices()}) == len(devices()) >= 10
    for device in devices():
        assert len(device.source) > 20
        assert "float32" in device.flops_per_s
        by_size = sorted(device.flops_per_s, key=lambda dtype: -DTYPE_BYTES[dtype])
        speeds = [device.flops_per_s[dtype] for dtype in by_size if dtype != "bfloat16"]
        assert speeds == sorted(speeds)


def test_a_named_device_is_a_data_sheet() -> None:
    found = find_device("t4", "int8")
    assert (found.device, found.name, found.dtype, found.threads) == (
        "t4",
        "NVIDIA T4",
        "int8",
        None,
    )
    assert found.source is not None
    assert "PB-09256-001" in (found.source or "")
    assert (found.rates, found.curve, found.measured_on) == ({}, (), None)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"unknown device 'rasberry_pi_4' \(did you mean 'raspberry_pi_4'\?\)",
    ):
        find_device("rasberry_pi_4", "float32")


def test_a_missing_dtype_tells_which_there_are() -> None:
    with pytest.raises(
        InputError, match=r"^NVIDIA T4 has no figure for float64 \(it has float32, float16, int8\)$"
    ):
        find_device("t4", "float64")


def test_an_unknown_dtype_is_told_before_a_missing_one() -> None:
    with pytest.raises(UnknownNameError, match="unknown dtype 'flaot16'"):
        find_device("t4", "flaot16")


def test_a_file_of_ones_own_is_a_device(tmp_path: Path) -> None:
    path = tmp_path / "my_board.yml"
    path.write_text(FILE.replace("its data sheet", "[its data sheet, its manual]"))
    found = find_device(str(path), "int8")
    assert (found.device, found.name, found.source) == (
        "my_board",
        "My board",
        "its data sheet; its manual",
    )
    assert (found.flops_per_s, found.bytes_per_s) == (4e9, 2e9)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.yaml: No such file"):
        find_device(str(tmp_path / "none.yaml"), "float32")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("name: My board", "name: 5"), "1:7: expected text, found '5'"),
        (("name: My board", "name:"), "1:6: expected text, found nothing"),
        (("name: My board", "nmae: My board"), "1:1: unknown key 'nmae' (did you mean 'name'?)"),
        (("source: its data sheet", "source: []"), "2:9: expected text, found a list"),
        (("source: its data sheet", "source: [a, 5]"), "2:13: expected text, found '5'"),
        (
            ("bytes_per_s: 2e9", "bytes_per_s: 0"),
            "4:14: expected a number above 0 such as 12.8e9, found '0'",
        ),
        (
            ("bytes_per_s: 2e9", "bytes_per_s: fast"),
            "4:14: expected a number above 0 such as 12.8e9, found 'fast'",
        ),
        (
            ("bytes_per_s: 2e9", "bytes_per_s: true"),
            "4:14: expected a number above 0 such as 12.8e9, found 'True'",
        ),
        (
            ("float32: 1e9", "flaot32: 1e9"),
            "3:15: unknown dtype 'flaot32' (did you mean 'float32'?)",
        ),
        (
            ("bytes_per_s: 2e9", "bytes_per_s: 1e-320"),
            "4:14: expected a number per second such as 12.8e9, found 9.99989e-321, which no device has",
        ),
        (
            ("float32: 1e9", "float32: 1e300"),
            "3:24: expected a number per second such as 12.8e9, found 1e+300, which no device has",
        ),
        (
            ("float32: 1e9", "float32: -1"),
            "3:24: expected a number above 0 such as 12.8e9, found '-1'",
        ),
        (
            ("{float32: 1e9, int8: 4e9}", "1e9"),
            "3:14: expected a figure per dtype, found a number",
        ),
        (("{float32: 1e9, int8: 4e9}", "{}"), "3:14: expected a figure per dtype, found a mapping"),
        (("bytes_per_s: 2e9\n", ""), "1:1: missing key 'bytes_per_s'"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_mistake_is_told_with_its_place(
    tmp_path: Path, change: tuple[str, str], told: str
) -> None:
    assert f"board.yaml:{told}" in problems(tmp_path, FILE.replace(*change))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = "name: 5\nsource: ''\nname: again\nflops_per_s: {float32: 0}\nbandwidth: 1\n"
    assert problems(tmp_path, text) == [
        "board.yaml:1:1: missing key 'bytes_per_s'",
        "board.yaml:1:7: expected text, found '5'",
        "board.yaml:2:9: expected text, found ''",
        "board.yaml:3:1: duplicate key 'name' (first on line 1)",
        "board.yaml:4:24: expected a number above 0 such as 12.8e9, found '0'",
        "board.yaml:5:1: unknown key 'bandwidth' (known: name, source, flops_per_s, bytes_per_s)",
    ]


def test_a_list_is_no_device(tmp_path: Path) -> None:
    assert problems(tmp_path, "[]") == [
        "board.yaml:1:1: expected a mapping with name, source, flops_per_s, bytes_per_s, found a list"
    ]


def test_a_dtype_that_a_file_has_no_figure_for_is_told_at_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    path.write_text(
        "name: A board\nsource: a sheet\nflops_per_s: {float32: 1e9, int8: 2e9}\nbytes_per_s: 2e9\n"
    )
    with pytest.raises(FileProblems) as refused:
        find_device(str(path), "float16")
    assert str(refused.value) == f"{path}:3:1: no figure for float16 (it has float32, int8)"
