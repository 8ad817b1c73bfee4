"""Latency tables for Once-for-all and nn-Meter, read back by readers written from their public descriptions."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
import yaml
from program import run

import dscost
from dscost.errors import InputError, UnknownNameError
from dscost.layers.choosing import parse_variants
from dscost.layers.others import GlobalPoolSpec
from dscost.pages.sweep_tables import line_of_table
from dscost.registries import Registry
from dscost.sweeping import emitting
from dscost.sweeping.emitting import (
    TABLE_FORMATS,
    Entry,
    Table,
    TableFormat,
    check_emissions,
    emit,
    parse_emissions,
    place_in_words,
    register_table_format,
    unit_of,
)
from dscost.sweeping.layer_sweep import cases_of_layers, find_layers
from dscost.sweeping.records import Row, Where
from dscost.sweeping.units import Lacking, units_of

HERE = Where("a processor", 1, versions={"torch": "2.9.0"})


def rows_of(
    values: Mapping[str, Any],
    variants: tuple[str, ...] = (),
    *,
    ms: float = 1.0,
    where: Where | None = HERE,
    operation: Any = "convolution",
    **more: Any,
) -> list[Row]:
    """Return the rows of a layer and its variants, the first as long as `ms`, each later one 1 ms longer."""
    of = {"batch": 1, **values}
    rows = []
    for number, unit in enumerate(units_of(of, parse_variants(variants), operation=operation)):
        if isinstance(unit, Lacking):
            continue
        seconds = (ms + number) / 1e3
        row = Row(of, unit.label, unit.cost(4), where=where, latency_s=seconds, visits=2)
        rows.append(row._replace(**more) if more else row)
    return rows


def conv(cin: int, cout: int, k: int, size: int, stride: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "in_channels": cin,
        "out_channels": cout,
        "kernel_size": k,
        "stride": stride,
        "input_size": size,
        **more,
    }


def written(rows: list[Row], name: str, folder: Path, file: str = "table") -> str:
    (one,) = emit(rows, parse_emissions([f"{name}={folder / file}"]))
    return one.path.read_text()


# -- Once-for-all, as its repository describes its tables


class Block(NamedTuple):
    """An inverted residual of a network of Once-for-all."""

    cin: int
    cout: int
    middle: int
    kernel: int
    stride: int
    shortcut: bool


class OnceForAll:
    """Reads a table as mit-han-lab/once-for-all does: keys made of the layer, `mean` in milliseconds."""

    def __init__(self, path: Path) -> None:
        self.lut = yaml.load(path.read_text(), yaml.FullLoader)

    def query(self, kind: str, given: list[int], made: list[int], **how: int) -> float:
        shapes = ["x".join(str(one) for one in shape) for shape in (given, made)]
        key = "-".join([kind, f"input:{shapes[0]}", f"output:{shapes[1]}"])
        for name, value in how.items():
            key += f"-{name}:{value}"
        mean = self.lut[key]["mean"]
        assert isinstance(mean, float)
        return mean

    def network(
        self, size: int, stem: int, blocks: list[Block], last: int, mixed: int, classes: int
    ) -> float:
        """Return the latency of a network of MobileNetV3's kind: what each part takes, summed up."""
        half = (size + 1) // 2
        total = self.query("Conv", [size, size, 3], [half, half, stem])
        for one in blocks:
            made = (half - 1) // one.stride + 1
            total += self.query(
                "expanded_conv",
                [half, half, one.cin],
                [made, made, one.cout],
                expand=one.middle,
                kernel=one.kernel,
                stride=one.stride,
                idskip=int(one.shortcut),
                se=0,
                hs=0,
            )
            half = made
        total += self.query("Conv_1", [half, half, blocks[-1].cout], [half, half, last])
        total += self.query("AvgPool2D", [half, half, last], [1, 1, last])
        total += self.query("Conv_2", [1, 1, last], [1, 1, mixed])
        return total + self.query("Logits", [1, 1, mixed], [classes])


def toy() -> Iterator[Row]:
    """Yield the rows of a small search space on 32×32: two blocks with kernels 3 and 5, expansions 3 and 6."""
    yield from rows_of(conv(3, 16, 3, 32, 2), ms=100)
    for kernel in (3, 5):
        for first, stride, (cin, cout), size in ((10, 1, (16, 16), 16), (20, 2, (16, 24), 16)):
            ms = first + kernel
            yield from rows_of(
                conv(cin, cout, kernel, size, stride),
                ("inverted_residual:3", "inverted_residual:6"),
                ms=ms,
            )
    yield from rows_of(conv(24, 96, 1, 8), ms=200)
    yield from rows_of({"in_channels": 96, "input_size": 8}, ms=300, operation="global_pooling")
    yield from rows_of(conv(96, 128, 1, 1), ms=400)
    yield from rows_of({"in_channels": 128, "out_channels": 10}, ms=500, operation="linear")


def test_once_for_all_finds_every_part_of_its_networks(tmp_path: Path) -> None:
    path = tmp_path / "lut.yaml"
    (made,) = emit(toy(), parse_emissions([f"ofa={path}"]))
    # what the blocks are compared with has no place there
    assert (made.keys, made.rows, dict(made.left_out)) == (5 + 8, 5 + 12, {"standard": 4})

    table = OnceForAll(path)
    for kernels in ((3, 3), (3, 5), (5, 3), (5, 5)):
        for expansions in ((3, 3), (3, 6), (6, 3), (6, 6)):
            blocks = [
                Block(16, 16, 16 * expansions[0], kernels[0], 1, shortcut=True),
                Block(16, 24, 16 * expansions[1], kernels[1], 2, shortcut=False),
            ]
            # the variant of expansion 3 is the first behind the layer itself, that of 6 the second
            of_blocks = (10 + kernels[0] + expansions[0] // 3) + (
                20 + kernels[1] + expansions[1] // 3
            )
            total = table.network(32, 16, blocks, last=96, mixed=128, classes=10)
            assert total == pytest.approx(100 + of_blocks + 200 + 300 + 400 + 500)


def test_keys_are_those_of_the_published_tables(tmp_path: Path) -> None:
    """Keys copied from tables that were published for Once-for-all's MobileNetV3 at 160×160."""
    rows = [
        *rows_of(conv(3, 24, 3, 160, 2)),
        *rows_of(conv(24, 32, 7, 80, 2), ("inverted_residual:3",))[1:],
        *rows_of(conv(96, 96, 5, 10), ("inverted_residual:4",))[1:],
        *rows_of(conv(192, 1152, 1, 5)),
        *rows_of(conv(1152, 1536, 1, 1)),
        *rows_of({"in_channels": 1536, "out_channels": 1000}, operation="linear"),
        *rows_of({"in_channels": 1152, "input_size": 5}, operation="global_pooling"),
    ]
    assert list(yaml.safe_load(written(rows, "ofa", tmp_path))) == [
        "AvgPool2D-input:5x5x1152-output:1x1x1152",
        "Conv-input:160x160x3-output:80x80x24",
        "Conv_1-input:5x5x192-output:5x5x1152",
        "Conv_2-input:1x1x1152-output:1x1x1536",
        "Logits-input:1x1x1536-output:1000",
        "expanded_conv-input:10x10x96-output:10x10x96-expand:384-kernel:5-stride:1-idskip:1-se:0-hs:0",
        "expanded_conv-input:80x80x24-output:40x40x32-expand:72-kernel:7-stride:2-idskip:0-se:0-hs:0",
    ]


def test_entries_have_milliseconds_and_how_sure_they_are(tmp_path: Path) -> None:
    rows = rows_of(conv(3, 16, 3, 32, 2), ms=0.0025, ci95_s=(2.5e-6 - 1.96e-7, 2.5e-6 + 1.96e-7))
    (entry,) = yaml.safe_load(written(rows, "ofa", tmp_path)).values()
    assert entry == {"count": 2, "mean": pytest.approx(0.0025), "std": pytest.approx(1e-4)}
    assert isinstance(entry["std"], float)  # YAML 1.1 reads 1e-04 as text


def test_an_unknown_deviation_is_left_out(tmp_path: Path) -> None:
    (entry,) = yaml.safe_load(written(rows_of(conv(3, 16, 3, 32)), "ofa", tmp_path)).values()
    assert set(entry) == {"count", "mean"}


def test_a_table_says_where_it_was_measured(tmp_path: Path) -> None:
    rows = rows_of(conv(3, 16, 3, 32), where=HERE._replace(threads=2, with_norm=True))
    first = written(rows, "ofa", tmp_path).splitlines()[0]
    assert first.startswith("# Latencies in milliseconds, measured by dscost ")
    assert first.endswith(
        ": a processor, 2 threads, torch (torch 2.9.0), float32, wall clock, "
        "convolutions with normalisation and ReLU."
    )


def test_rows_without_a_key_are_counted_by_what_they_are(tmp_path: Path) -> None:
    rows = [
        *rows_of(conv(8, 16, 3, 14), ("depthwise_separable", "inverted_residual", "ghost")),
        *rows_of(conv(16, 16, 3, 14), ("depthwise_separable",)),
        *rows_of(conv(16, 16, 3, 15, groups=16)),
        *rows_of(conv(16, 16, 3, 15, dilation=2)),
        *rows_of(conv(16, 16, 3, 16, padding=0)),
    ]
    (made,) = emit(rows, parse_emissions([f"ofa={tmp_path / 'lut.yaml'}"]))
    assert dict(made.left_out) == {"standard": 3 + 2, "depthwise_separable": 2, "ghost": 1}
    assert line_of_table(made._replace(path=Path("lut.yaml"))) == (
        "lut.yaml: 1 entry of 9 rows; 8 rows have no place in Once-for-all's table: "
        "5 standard, 2 depthwise_separable, 1 ghost"
    )


def test_a_block_without_a_value_expands_as_its_variant_does(tmp_path: Path) -> None:
    rows = rows_of(conv(8, 16, 3, 14), ("inverted_residual",))[1:]
    (key,) = yaml.safe_load(written(rows, "ofa", tmp_path))
    assert "-expand:48-" in key  # six times as many


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        (conv(3, 16, 3, 32, 2), conv(3, 16, 5, 32, 2), ("kernel_size 3", "kernel_size 5")),
        (conv(3, 16, 3, 32), conv(3, 16, 3, 32, bias=True), ("bias None", "bias True")),
    ],
    ids=["kernels", "bias"],
)
def test_two_rows_of_one_key_are_refused(
    first: dict[str, Any], second: dict[str, Any], apart: tuple[str, str], tmp_path: Path
) -> None:
    rows, asked = [*rows_of(first), *rows_of(second)], parse_emissions([f"ofa={tmp_path / 'a'}"])
    for attempt in (lambda: emit(rows, asked), lambda: check_emissions(rows, asked)):
        with pytest.raises(InputError) as caught:
            attempt()
        text = str(caught.value)
        assert text.startswith("Once-for-all's table has one place, Conv-input:32x32x3-output:")
        assert text.endswith(f" for two rows: {apart[0]} and {apart[1]}; sweep them apart")
    assert not (tmp_path / "a").exists()


def test_each_place_has_a_file(tmp_path: Path) -> None:
    there = HERE._replace(device="another processor")
    rows = [*rows_of(conv(3, 16, 3, 32)), *rows_of(conv(3, 16, 3, 32), ms=9.0, where=there)]
    # a machine of the same kind is no other place
    rows += rows_of(conv(3, 24, 3, 32), where=there._replace(host="b"))
    made = emit(rows, parse_emissions([f"ofa={tmp_path / 'lut.yaml'}"]))
    assert [(one.path.name, one.keys) for one in made] == [
        ("lut-a-processor.yaml", 1),
        ("lut-another-processor.yaml", 2),
    ]
    means = [
        [one["mean"] for one in yaml.safe_load(each.path.read_text()).values()] for each in made
    ]
    assert means == [[1.0], [9.0, 1.0]]


def test_files_are_told_apart_by_what_places_differ_in(tmp_path: Path) -> None:
    wheres = [
        HERE._replace(runtime=runtime, dtype=dtype)
        for runtime in ("torch", "tvm")
        for dtype in ("int8", "half")
    ]
    wheres.append(wheres[0]._replace(versions={"torch": "2.10.0"}))
    rows = [row for where in wheres[:4] for row in rows_of(conv(3, 16, 3, 32), where=where)]
    made = emit(rows, parse_emissions([f"plain={tmp_path / 'lut.csv'}"]))
    assert [one.path.name for one in made] == [
        *("lut-torch-int8.csv", "lut-torch-half.csv", "lut-tvm-int8.csv", "lut-tvm-half.csv")
    ]
    rows = [
        row for where in (wheres[0], wheres[4]) for row in rows_of(conv(3, 16, 3, 32), where=where)
    ]
    made = emit(rows, parse_emissions([f"plain={tmp_path / 'lut.csv'}"]))
    assert [one.path.name for one in made] == ["lut-1.csv", "lut-2.csv"]  # versions are long


def test_rows_of_two_dtypes_do_not_meet(tmp_path: Path) -> None:
    rows = [
        *rows_of(conv(3, 16, 3, 32, dtype="float32")),
        *rows_of(conv(3, 16, 3, 32, dtype="float16")),
    ]
    check_emissions(rows, parse_emissions([f"ofa={tmp_path / 'a'}"]))


def test_rows_that_were_not_timed_are_told(tmp_path: Path) -> None:
    rows = [*rows_of(conv(3, 16, 3, 32)), *rows_of(conv(3, 24, 3, 32), latency_s=None, where=None)]
    (made,) = emit(rows, parse_emissions([f"ofa={tmp_path / 'lut.yaml'}"]))
    assert (made.rows, made.untimed) == (1, 1)
    assert line_of_table(made).endswith("lut.yaml: 1 entry of 1 row; 1 row was not timed")


def test_nothing_timed_is_no_table(tmp_path: Path) -> None:
    rows = rows_of(conv(3, 16, 3, 32), latency_s=None, where=None)
    with pytest.raises(
        InputError, match="a latency table is of what was timed, and nothing was: add --time"
    ):
        emit(rows, parse_emissions([f"ofa={tmp_path / 'lut.yaml'}"]))


# -- ProxylessNAS, whose tables name a block by its expansion and have one entry for all behind the last convolution


def test_proxylessnas_names_blocks_by_their_expansion(tmp_path: Path) -> None:
    rows = [
        *rows_of(conv(3, 32, 3, 224, 2), ms=1),
        *rows_of(conv(16, 32, 5, 112, 2), ("inverted_residual:3",), ms=2)[1:],
        *rows_of(conv(32, 32, 3, 56), ("inverted_residual:3",), ms=3)[1:],
        *rows_of(conv(320, 1280, 1, 7), ms=5),
        *rows_of(
            {"in_channels": 1280, "input_size": 7},
            ms=20,
            operation="global_pooling",
            ci95_s=(0.017, 0.023),
        ),
        *rows_of(
            {"in_channels": 1280, "out_channels": 1000},
            ms=30,
            operation="linear",
            ci95_s=(0.026, 0.034),
        ),
    ]
    table = yaml.safe_load(written(rows, "proxylessnas", tmp_path))
    # the first three keys stand in public code that reads such tables
    assert {key: entry["mean"] for key, entry in table.items()} == {
        "Conv-input:224x224x3-output:112x112x32": 1,
        "expanded_conv-input:112x112x16-output:56x56x32-expand:3-kernel:5-stride:2-idskip:0": 3,
        "expanded_conv-input:56x56x32-output:56x56x32-expand:3-kernel:3-stride:1-idskip:1": 4,
        "Conv_1-input:7x7x320-output:7x7x1280": 5,
        "Logits-input:7x7x1280-output:1000": 20 + 30,
    }
    deviation = math.hypot(3, 4) / 1.96  # of a sum of what was measured apart
    assert table["Logits-input:7x7x1280-output:1000"]["std"] == pytest.approx(deviation)


class ProxylessNAS(OnceForAll):
    """Reads a table as Once-for-all does for its ProxylessNAS networks."""

    WIDTHS = (24, 40, 80, 96, 192, 320)
    STRIDES = (2, 2, 2, 1, 2, 1)

    def random_network(self, random: Random) -> int:
        """Look up every part of a random network; return how many there are."""
        self.query("Conv", [224, 224, 3], [112, 112, 32])
        how = {"expand": 1, "kernel": 3, "stride": 1, "idskip": 0}
        self.query("expanded_conv", [112, 112, 32], [112, 112, 16], **how)
        size, cin, parts = 112, 16, 2
        for width, stride in zip(self.WIDTHS, self.STRIDES, strict=True):
            for number in range(1 if width == 320 else random.choice((2, 3, 4))):
                step = stride if number == 0 else 1
                made = (size - 1) // step + 1
                how = {
                    "expand": random.choice((3, 4, 6)),
                    "kernel": random.choice((3, 5, 7)),
                    "stride": step,
                    "idskip": int(step == 1 and cin == width),
                }
                self.query("expanded_conv", [size, size, cin], [made, made, width], **how)
                size, cin, parts = made, width, parts + 1
        self.query("Conv_1", [size, size, cin], [size, size, 1280])
        self.query("Logits", [size, size, 1280], [1000])
        return parts + 2


def test_the_built_in_space_has_every_network_of_once_for_all(tmp_path: Path) -> None:
    """The grid as it ships, with made-up times: a thousand networks are found part by part."""
    counted = dscost.sweep(file="once_for_all")
    rows = [row._replace(latency_s=1e-3, where=HERE, visits=1) for row in counted.rows]
    path = tmp_path / "lut.yaml"
    (made,) = emit(rows, parse_emissions([f"proxylessnas={path}"]))
    # 11 kinds of blocks in 3 kernels and 3 expansions, the first block, two convolutions and the classifier
    assert made.keys == 11 * 3 * 3 + 1 + 2 + 1
    table, random = ProxylessNAS(path), Random(0)
    assert {table.random_network(random) for _ in range(1000)} == set(
        range(5 * 2 + 5, 5 * 4 + 5 + 1)
    )


def test_a_classifier_without_its_pooling_is_left_out_of_proxylessnas(tmp_path: Path) -> None:
    rows = rows_of({"in_channels": 64, "out_channels": 10}, operation="linear")
    rows += rows_of({"in_channels": 32, "input_size": 7}, operation="global_pooling")
    (made,) = emit(rows, parse_emissions([f"proxylessnas={tmp_path / 'lut.yaml'}"]))
    assert made.keys == 0
    assert dict(made.left_out) == {"linear": 1, "global_pooling": 1}


# -- nn-Meter, as its documentation describes kernel data

FEATURES = {
    "conv": ["HW", "CIN", "COUT", "KERNEL_SIZE", "STRIDES"],
    "dwconv": ["HW", "CIN", "COUT", "KERNEL_SIZE", "STRIDES"],
    "fc": ["CIN", "COUT"],
    "global": ["HW", "CIN"],
}


def nn_meter_data(text: str, kind: str) -> dict[tuple[int, ...], tuple[float, float]]:
    """Return latencies by features; what lacks its model or a feature is passed over, as nn-Meter does."""
    found = {}
    for one in json.loads(text)[kind].values():
        if "model" not in one:
            continue
        average, deviation = one["latency"].split("+-")
        if 0 < float(average) < 200:  # it takes no others
            features = tuple(one["config"][name] for name in FEATURES[kind.split("-")[0]])
            found[features] = (float(average), float(deviation))
    return found


def test_nn_meter_reads_every_kernel(tmp_path: Path) -> None:
    rows = [
        *rows_of(
            conv(212, 176, 1, 13), ms=37.53, ci95_s=((37.53 - 1.96) / 1e3, (37.53 + 1.96) / 1e3)
        ),
        *rows_of(conv(24, 64, 3, 56, 2), ms=2),
        *rows_of(conv(64, 64, 5, 28, groups=64), ms=3),
        *rows_of({"in_channels": 1280, "out_channels": 1000}, ms=4, operation="linear"),
        *rows_of({"in_channels": 960, "input_size": 7}, ms=5, operation="global_pooling"),
    ]
    text = written(rows, "nnmeter", tmp_path)
    convs = nn_meter_data(text, "conv-block")
    assert convs.keys() == {(13, 212, 176, 1, 1), (56, 24, 64, 3, 2)}
    assert convs[13, 212, 176, 1, 1] == pytest.approx((37.53, 1.0))
    assert math.isnan(convs[56, 24, 64, 3, 2][1])
    assert nn_meter_data(text, "dwconv-block").keys() == {(28, 64, 64, 5, 1)}
    assert nn_meter_data(text, "fc").keys() == {(1280, 1000)}
    assert nn_meter_data(text, "global-avgpool").keys() == {(7, 960)}
    shapes = [one["shapes"] for kind in json.loads(text).values() for one in kind.values()]
    assert shapes == [[[13, 13, 212]], [[56, 56, 24]], [[28, 28, 64]], [[1280]], [[7, 7, 960]]]


def test_kernels_with_a_normalisation_are_called_so(tmp_path: Path) -> None:
    where = HERE._replace(with_norm=True)
    rows = [
        *rows_of(conv(8, 8, 3, 14), where=where),
        *rows_of(conv(8, 8, 3, 14, groups=8), where=where),
    ]
    assert list(json.loads(written(rows, "nnmeter", tmp_path))) == [
        "conv-bn-relu",
        "dwconv-bn-relu",
    ]


def test_what_nn_meter_has_no_kernel_for_is_left_out(tmp_path: Path) -> None:
    rows = [
        *rows_of(conv(8, 8, 3, 14), ("depthwise_separable", "inverted_residual:2")),
        *rows_of(conv(8, 8, 3, 14, groups=2)),
        *rows_of({**conv(8, 8, 3, 14), "kernel_size": (3, 1)}),
        *rows_of({**conv(8, 8, 3, 14), "input_size": (14, 7)}),
        *rows_of({"in_channels": 8, "input_size": (14, 7)}, operation="global_pooling"),
    ]
    (made,) = emit(rows, parse_emissions([f"nnmeter={tmp_path / 'a'}"]))
    assert made.keys == 1
    assert dict(made.left_out) == {
        "depthwise_separable": 1,
        "inverted_residual:2": 1,
        "standard": 3,
        "global_pooling": 1,
    }


def test_kernels_of_nn_meter_are_called_the_same_every_time(tmp_path: Path) -> None:
    rows = rows_of(conv(8, 8, 3, 14))
    first, second = (written(rows, "nnmeter", tmp_path, name) for name in "ab")
    assert first == second
    (name,) = json.loads(first)["conv-block"]
    assert len(name) == 6
    assert name == name.upper()


# -- the rest


def test_a_plain_table_has_every_timed_row(tmp_path: Path) -> None:
    rows = rows_of(conv(8, 16, 3, 14), ("ghost",), ci95_s=(0.0005, 0.002))
    rows += rows_of({**conv(8, 16, 3, 14), "kernel_size": (5, 3)})
    rows += rows_of({"in_channels": 8, "out_channels": 10}, operation="linear")
    found = list(csv.DictReader(io.StringIO(written(rows, "plain", tmp_path))))
    assert [one["variant"] for one in found] == ["standard", "ghost", "standard", "linear"]
    assert [one["kernel_size"] for one in found] == ["3", "3", "5x3", ""]
    assert [one["latency_ms"] for one in found] == ["1", "2", "1", "1"]
    assert (found[0]["latency_low_ms"], found[0]["latency_high_ms"]) == ("0.5", "2")


def test_a_row_of_one_dimension_is_no_image() -> None:
    values = conv(8, 8, 3, 14, batch=1)
    (unit,) = units_of(values, dims=1)
    assert not isinstance(unit, Lacking)
    found = unit_of(Row(values, unit.label, unit.cost(4)))
    assert found is not None
    assert found.shape == (1, 8, 14)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ofa", "--emit takes FORMAT=FILE such as ofa=lut.yaml, found 'ofa'"),
        ("=lut.yaml", "--emit takes FORMAT=FILE"),
        ("ofa=", "--emit takes FORMAT=FILE"),
        ("oaf=lut.yaml", r"unknown table format 'oaf' \(did you mean 'ofa'\?\)"),
        ("ofa=no/such/lut.yaml", "cannot write no/such/lut.yaml: there is no folder no/such"),
    ],
)
def test_what_is_no_table_is_refused_at_once(text: str, why: str) -> None:
    with pytest.raises(Exception, match=why) as caught:
        parse_emissions([text])
    assert caught.type.__name__ in ("InputError", "UnknownNameError", "OutputError")


def test_two_tables_of_one_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "lut"
    with pytest.raises(InputError, match="two tables go to"):
        parse_emissions([f"ofa={file}", f"nnmeter={file}"])


def test_another_package_has_a_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own: Registry[TableFormat] = Registry("table format", "table_formats")
    monkeypatch.setattr(emitting, "TABLE_FORMATS", own)

    @register_table_format("count", title="a count")
    def count(entries: list[Entry]) -> Table:
        return Table(f"{len(entries)}\n", len(entries))

    assert isinstance(count, TableFormat)
    assert written(rows_of(conv(8, 8, 3, 14), ("ghost",)), "count", tmp_path) == "2\n"
    with pytest.raises(UnknownNameError):
        parse_emissions(["ofa=lut.yaml"])


def test_every_format_says_what_it_is_for() -> None:
    for name in TABLE_FORMATS:
        assert TABLE_FORMATS[name].meaning


def test_a_place_is_told_without_versions() -> None:
    assert place_in_words(HERE._replace(versions={}, runtime="onnxruntime")) == (
        "a processor, 1 thread, onnxruntime, float32, wall clock, convolutions alone"
    )


# -- the layers of a model


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "mobilenet_v3_small", "resnet18", "vgg16", "xception"]
)
def test_a_row_of_a_models_layer_tells_what_it_is(name: str) -> None:
    """All but what a row has no words for: squeeze-and-excite, an activation alone, pooling to a size.

    Nor for whether pooling is a function alone, which is no other layer.
    """
    model = find_layers(name)
    rows = cases_of_layers(model).counted().rows
    for case, row in zip(model.layers, rows, strict=True):
        (unit,) = case.units
        found = unit_of(row)
        if unit.label in ("squeeze_excite", "relu", "pooling"):
            assert found is None
        else:
            assert found is not None
            specs = [part[1] for part in unit.parts]
            specs = [
                replace(one, functional=False) if isinstance(one, GlobalPoolSpec) else one
                for one in specs
            ]
            assert [part[1] for part in found.parts] == specs
            assert found.shape == unit.shape


def test_the_layers_of_a_model_are_kernels_of_nn_meter(tmp_path: Path) -> None:
    rows = cases_of_layers(find_layers("mobilenet_v3_small")).counted().rows
    rows = [row._replace(latency_s=1e-3, where=HERE) for row in rows]
    (made,) = emit(rows, parse_emissions([f"nnmeter={tmp_path / 'a'}"]))
    # a linear layer with an activation is no kernel of theirs, nor is a squeeze-and-excite block of any reduction;
    # of the 9 of table 2 in Howard et al. 2019 (arXiv:1905.02244) two are another's equals, of 240 and of 576 channels
    assert dict(made.left_out) == {"linear+hard_swish": 1, "squeeze_excite": 9 - 2}
    kernels = json.loads(made.path.read_text())
    assert set(kernels) == {
        *("conv-bn", "conv-bn-relu", "conv-bn-hswish", "dwconv-bn-relu", "dwconv-bn-hswish"),
        *("add", "fc", "global-avgpool"),
    }
    # its first layer, by the same table
    assert {"HW": 224, "CIN": 3, "COUT": 16, "KERNEL_SIZE": 3, "STRIDES": 2} in [
        one["config"] for one in kernels["conv-bn-hswish"].values()
    ]


def test_once_for_all_has_no_place_for_a_convolution_with_its_norm(tmp_path: Path) -> None:
    rows = cases_of_layers(find_layers("resnet18")).counted().rows
    rows = [row._replace(latency_s=1e-3, where=HERE) for row in rows]
    (made,) = emit(rows, parse_emissions([f"ofa={tmp_path / 'a'}"]))
    assert list(yaml.safe_load(made.path.read_text())) == [
        "AvgPool2D-input:7x7x512-output:1x1x512",
        "Conv-input:224x224x3-output:112x112x64",
        "Logits-input:1x1x512-output:1000",
    ]


@pytest.mark.parametrize(
    ("swept", "label"), [({"model": "mobilenet_v1"}, "as_is"), ({"layers_of": "vgg16"}, "pooling")]
)
def test_what_has_no_key_is_told_and_the_rest_is_written(
    swept: dict[str, str], label: str, tmp_path: Path
) -> None:
    rows = [row._replace(latency_s=1e-3, where=HERE) for row in dscost.sweep(**swept).rows]
    for name in ("ofa", "proxylessnas", "nnmeter"):
        (made,) = emit(rows, parse_emissions([f"{name}={tmp_path / name}"]))
        assert made.left_out[label] == 1
        assert made.rows == len(rows)


# -- several inputs at once


@pytest.mark.parametrize("name", ["ofa", "proxylessnas"])
def test_a_table_says_of_which_batch_it_is_and_has_one_alone(name: str, tmp_path: Path) -> None:
    one, eight = (rows_of({**conv(3, 16, 3, 224, 2), "batch": batch}) for batch in (1, 8))
    assert "batch" not in written(one, name, tmp_path).splitlines()[0]
    assert written(eight, name, tmp_path).splitlines()[0].endswith(", batch 8.")
    with pytest.raises(InputError, match=r"does not tell batches apart, such as 1 and 8: sweep"):
        written([*one, *eight], name, tmp_path)


def test_kernels_of_nn_meter_are_of_one_input(tmp_path: Path) -> None:
    rows = [row for batch in (1, 8) for row in rows_of({**conv(8, 16, 3, 14), "batch": batch})]
    (made,) = emit(rows, parse_emissions([f"nnmeter={tmp_path / 'a'}"]))
    assert (made.keys, dict(made.left_out)) == (1, {"standard at batch 8": 1})


# -- the command line

TINY = ["sweep", "--cin", "3", "--cout", "4", "-k", "3", "--size", "4", "--variant", "standard"]


def test_a_timed_sweep_writes_its_tables(tmp_path: Path) -> None:
    lut, kernels = tmp_path / "lut.yaml", tmp_path / "kernels.json"
    tables = ["--emit", f"ofa={lut}", "--emit", f"nnmeter={kernels}"]
    found = run(*TINY, "--time", "--threads", "1", *tables, "--journal", str(tmp_path / "journal"))
    assert found.returncode == 0, found.stderr
    ((key, entry),) = yaml.safe_load(lut.read_text()).items()
    assert key == "Conv-input:4x4x3-output:4x4x4"
    assert entry["mean"] > 0
    assert list(json.loads(kernels.read_text())) == ["conv-block"]
    assert f"wrote {lut}: 1 entry of 1 row" in found.stderr


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--emit", "ofa=lut.yaml"], "--emit needs timing: add --time"),
        (["--time", "--emit", "oaf=lut.yaml"], "unknown table format 'oaf' (did you mean 'ofa'?)"),
        (
            ["--time", "--emit", "ofa=lut.yaml", "--batch", "1,2"],
            "Once-for-all's table does not tell batches apart, such as 1 and 2: sweep them apart",
        ),
        (["--time", "--emit", "ofa=lut.yaml", "--export", "csv=lut.yaml"], "lut.yaml"),
    ],
    ids=["not timed", "no format", "two rows of one place", "a file for two"],
)
def test_what_cannot_be_written_is_said_before_anything_is_timed(
    options: list[str], why: str, tmp_path: Path
) -> None:
    found = run(*TINY, *options, cwd=tmp_path)
    assert found.returncode == 2
    assert why in found.stderr
    assert not list(tmp_path.iterdir())
