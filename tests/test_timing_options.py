"""How to measure: what the options come to, and what is refused."""

import json
import pickle
import re
from pathlib import Path
from typing import Any

import program
import pytest

import dscost
from dscost.cli import measuring as how
from dscost.errors import InputError, UnknownNameError
from dscost.notation.quantities import parse_share
from dscost.timing import CUDA_MODES, MAX_SETTINGS, MEMORY_FORMATS, Setting, TimingOptions


def keys(
    options: TimingOptions, *, dtype: str = "float32", batch: int = 1, formats: Any = MEMORY_FORMATS
) -> list[str]:
    return [
        setting.key
        for setting in options.settings(dtype=dtype, batch=batch, memory_formats=formats)
    ]


# -- keys


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        (Setting(), "cpu"),
        (Setting(memory_format="channels_last"), "cpu:channels_last"),
        (Setting("cuda", "float16", "channels_last"), "cuda:float16:channels_last"),
        (Setting(batch=8), "cpu:batch8"),
        (Setting(mode="compile"), "cpu:compile"),
        (Setting("cuda", mode="cold"), "cuda:cold"),
        (
            Setting("cuda", "bfloat16", "channels_last", 32, "graph"),
            "cuda:bfloat16:channels_last:batch32:graph",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_key_is_the_device_and_what_differs_from_the_defaults(setting: Setting, key: str) -> None:
    assert setting.key == key


def test_a_setting_says_where_tensors_lie() -> None:
    place = {"device": "cuda", "dtype": "float16", "memory_format": "channels_last"}
    assert Setting("cuda", "float16", "channels_last", 8, "graph").place == place


# -- combinations


@pytest.mark.parametrize(
    ("options", "report", "expected"),
    [
        ({}, {}, ["cpu", "cpu:channels_last"]),
        ({}, {"formats": ("contiguous",)}, ["cpu"]),
        ({}, {"dtype": "float16"}, ["cpu:float16", "cpu:float16:channels_last"]),
        ({"memory_formats": ("channels_last",)}, {}, ["cpu:channels_last"]),
        (
            {"memory_formats": MEMORY_FORMATS},
            {"formats": ("contiguous",)},
            ["cpu", "cpu:channels_last"],
        ),
        (
            {"dtypes": ("float32", "bfloat16")},
            {"formats": ("contiguous",)},
            ["cpu", "cpu:bfloat16"],
        ),
        ({"batches": (1, 8)}, {"formats": ("contiguous",)}, ["cpu", "cpu:batch8"]),
        ({"batches": (8, 1)}, {"formats": ("contiguous",), "batch": 8}, ["cpu", "cpu:batch1"]),
        ({"batches": (8,)}, {"formats": ("contiguous",)}, ["cpu:batch8"]),
        ({"modes": ("eager", "compile")}, {"formats": ("contiguous",)}, ["cpu", "cpu:compile"]),
        (
            {"devices": ("cuda",)},
            {"formats": ("contiguous",)},
            ["cuda", "cuda:graph", "cuda:cold"],
        ),
        (
            {"devices": ("cpu", "cuda"), "modes": ("eager", "cold")},
            {"formats": ("contiguous",)},
            ["cpu", "cuda", "cuda:cold"],
        ),
        (
            {"devices": ("cpu", "cuda"), "modes": ("graph",)},
            {"formats": ("contiguous",)},
            ["cuda:graph"],
        ),
        (
            {"dtypes": ("float32", "float16"), "batches": (1, 8), "memory_formats": MEMORY_FORMATS},
            {},
            [
                *("cpu", "cpu:channels_last", "cpu:batch8", "cpu:channels_last:batch8"),
                *("cpu:float16", "cpu:float16:channels_last"),
                *("cpu:float16:batch8", "cpu:float16:channels_last:batch8"),
            ],
        ),
        (
            {"devices": ("cpu", "cpu"), "dtypes": ("float32", "float32"), "batches": (1, 1)},
            {"formats": ("contiguous", "contiguous")},
            ["cpu"],
        ),
    ],
    ids=[
        "layer",
        "model",
        "dtype of the report",
        "one layout",
        "layouts asked for",
        "dtypes",
        "batches",
        "a larger batch is counted",
        "another batch than is counted",
        "modes",
        "cuda",
        "cuda modes beside a cpu",
        "a cuda mode alone",
        "every combination",
        "everything twice",
    ],
)
def test_several_values_give_every_combination_once_the_simplest_first(
    options: dict[str, Any], report: dict[str, Any], expected: list[str]
) -> None:
    assert keys(TimingOptions(**options), **report) == expected


def test_too_many_settings_are_refused_with_their_number() -> None:
    options = TimingOptions(batches=tuple(range(1, MAX_SETTINGS // 2 + 1)))
    assert len(keys(options)) == MAX_SETTINGS
    more = TimingOptions(batches=tuple(range(1, MAX_SETTINGS // 2 + 2)))
    with pytest.raises(
        InputError, match=f"{MAX_SETTINGS + 2} settings are too many .* at most {MAX_SETTINGS}"
    ):
        keys(more)


# -- what is refused


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"devices": ("gpu",)}, "unknown device 'gpu'"),
        ({"devices": ()}, "expected a device: cpu or cuda"),
        ({"memory_formats": ("nhwc",)}, "unknown memory format 'nhwc'"),
        ({"dtypes": ("float",)}, "unknown dtype 'float'"),
        ({"modes": ("cudagraph",)}, "unknown mode 'cudagraph'"),
        ({"allocator": "jemalloc"}, "unknown allocator 'jemalloc'"),
        ({"modes": ("graph",)}, "mode graph needs --device cuda"),
        ({"modes": ("eager", "cold")}, "mode cold needs --device cuda"),
        ({"budget_s": 0.0}, "time budget must be above 0 s"),
        ({"budget_s": -1.0}, "time budget must be above 0 s"),
        ({"budget_s": 86_400.0}, "under a day"),
        ({"budget_s": float("nan")}, "time budget"),
        ({"precision": 0.0}, "precision must be above 0 %"),
        ({"precision": 1.01}, "at most 100 %, found 101 %"),
        ({"precision": float("nan")}, "precision"),
        ({"threads": 0}, "threads must be between 1 and 4096, found 0"),
        ({"threads": 4097}, "threads"),
        ({"seed": 2**63}, "seed must fit 64 bits"),
        ({"seed": -(2**63) - 1}, "seed must fit 64 bits"),
        ({"batches": (8, 0)}, "batch must be at least 1, found 0"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value),
)
def test_what_cannot_be_measured_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        TimingOptions(**given)
    assert said in str(error.value)


@pytest.mark.parametrize("mode", CUDA_MODES)
def test_cuda_modes_are_taken_where_one_device_is_cuda(mode: str) -> None:
    assert keys(TimingOptions(devices=("cpu", "cuda"), modes=(mode,)), formats=("contiguous",)) == [
        f"cuda:{mode}"
    ]


def test_the_edges_of_every_range_are_taken() -> None:
    TimingOptions(precision=1.0, threads=1, seed=2**63 - 1, budget_s=1e-9, batches=(1,))
    TimingOptions(threads=4096, seed=-(2**63), budget_s=86_399.0)


def test_the_same_seed_gives_the_same_order() -> None:
    one, same, other = (TimingOptions(seed=seed).random().random() for seed in (1, 1, 2))
    assert one == same != other


# -- from Python


def timed(**given: Any) -> object:
    return dscost.layer(in_channels=8, out_channels=8, kernel_size=3, time=True, **given)


def test_an_unknown_field_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown timing option 'precission' \(did you mean 'precision'\?\)"
    ):
        timed(timing={"precission": 0.01})


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"threads": 1, "timing": {"threads": 2}}, "threads"),
        ({"timing": {"devices": ("cpu",)}, "device": "cuda"}, "device"),
        ({"timing": {"budget_s": 0.3}, "time_budget_s": 0.5}, "budget"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_field_that_is_given_twice_is_an_input_error(given: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match=name):
        timed(**given)


def test_one_dtype_need_not_be_a_tuple_as_a_device_need_not() -> None:
    with pytest.raises(UnknownNameError, match="unknown dtype 'float61'"):
        timed(timing={"dtypes": "float61"})


# -- from the command line


def parsed(*, dtype: str | None = None, batch: str | None = None, **given: Any) -> TimingOptions:
    return how.Measuring(dtype=dtype, **given).options(how.parse_cases(dtype, batch))


def test_lists_on_the_command_line_are_separated_by_commas() -> None:
    options = parsed(
        dtype="float32,bfloat16",
        batch="1,8",
        memory_format="contiguous, channels_last",
        mode="eager",
    )
    assert options.dtypes == ("float32", "bfloat16")
    assert options.batches == (1, 8)
    assert options.memory_formats == ("contiguous", "channels_last")
    assert options.modes == ("eager",)
    assert len(keys(options)) == 8


def test_options_reach_another_process_as_they_are() -> None:
    options = TimingOptions(threads=1, min_channels=8, modes=("eager",))
    assert pickle.loads(pickle.dumps(options)) == options
    assert type(pickle.loads(pickle.dumps(options))) is TimingOptions


def test_the_first_of_a_list_is_counted() -> None:
    cases = how.parse_cases("float16,float32", "4,1")
    assert (cases.dtype, cases.batch) == ("float16", 4)
    nothing = how.parse_cases(None, None)
    assert (nothing.dtype, nothing.batch, nothing.dtypes, nothing.batches) == (None, None, (), ())


def test_what_nobody_said_is_the_default_of_the_library() -> None:
    assert parsed() == TimingOptions()


@pytest.mark.parametrize(
    ("text", "share"),
    [("2%", 0.02), ("0.02", 0.02), ("2 %", 0.02), (" .5% ", 0.005), ("100%", 1.0), ("1", 1.0)],
)
def test_a_precision_is_a_percentage_or_a_share(text: str, share: float) -> None:
    assert parsed(precision=text).precision == pytest.approx(share)


@pytest.mark.parametrize(
    "text", ["", "%", "2", "0", "0%", "-1%", "101%", "nan", "nan%", "inf", "2%%", "two", "1,5%"]
)
def test_what_is_no_share_is_refused_by_the_name_of_its_option(text: str) -> None:
    with pytest.raises(InputError, match=r"--precision: expected a share like 2% or 0\.02, found"):
        parse_share(text, what="--precision")


LAYER = ("layer", "--cin", "16", "--cout", "16", "-k", "3")


def run(*arguments: str, cache: Path) -> program.Ran:
    return program.run(*arguments, env={"XDG_CACHE_HOME": str(cache)})


@pytest.mark.parametrize(
    ("arguments", "names", "said"),
    [
        (("--precision", "2"), "--precision", "expected a share like 2% or 0.02, found '2'"),
        (("--precision", "two"), "--precision", "found 'two'"),
        (("--batch", "1,x"), "--batch", "expected something like 8 or 1,8,32, found '1,x'"),
        (("--batch", ""), "--batch", "found ''"),
        (("--batch", "1,0"), "batch", "must be at least 1, found 0"),
        (("--batch", "-3"), "batch", "-3"),
        (("--dtype", "float32,float61"), "dtype", "unknown dtype 'float61'"),
        (("--memory-format", "nhwc"), "memory format", "unknown memory format 'nhwc'"),
        (("--mode", "fast"), "mode", "unknown mode 'fast'"),
        (("--mode", "cold"), "mode", "mode cold needs --device cuda"),
        (("--device", "tpu"), "device", "unknown device 'tpu'"),
        (("--threads", "0"), "threads", "found 0"),
        (("--threads", "many"), "--threads", "many"),
        (("--allocator", "none"), "allocator", "unknown allocator 'none'"),
        (("--seed", "1e400"), "--seed", "1e400"),
        (("--seed", str(2**63)), "seed", "64 bits"),
        (("--time-budget", "0"), "--time-budget", "found '0'"),
        (("--time-budget", "2 days"), "--time-budget", "found '2 days'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_bad_value_exits_2_with_one_line_that_names_the_option(
    arguments: tuple[str, ...], names: str, said: str, tmp_path: Path
) -> None:
    for command in (LAYER, ("model", "resnet18")):
        ran = run(*command, *arguments, cache=tmp_path)
        assert ran.returncode == 2
        assert ran.stdout == ""
        (line,) = ran.stderr.splitlines()
        assert names in line
        assert said in line


@pytest.mark.usefixtures("own_time")
def test_every_combination_of_the_command_line_is_timed(tmp_path: Path) -> None:
    ran = run(
        *LAYER,
        *(
            "--batch",
            "1,8",
            "--dtype",
            "float32,bfloat16",
            "--memory-format",
            "contiguous,channels_last",
        ),
        *("--size", "6", "--precision", "10%", "--threads", "1", "--time-budget", "0.5s", "--json"),
        cache=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    (subject,) = document["subjects"]
    assert list(subject["latency"]) == [
        *("cpu", "cpu:channels_last", "cpu:batch8", "cpu:channels_last:batch8"),
        *("cpu:bfloat16", "cpu:bfloat16:channels_last"),
        *("cpu:bfloat16:batch8", "cpu:bfloat16:channels_last:batch8"),
    ]
    assert subject["inputs"] == [
        {"shape": [1, 16, 6, 6], "dtype": "float32"}
    ]  # the first is counted
    environment = document["environment"]
    assert (environment["dtype"], environment["memory_format"]) == (
        "float32, bfloat16",
        "contiguous, channels_last",
    )


@pytest.mark.parametrize("command", [LAYER, ("model", "resnet18")], ids=["layer", "model"])
def test_cuda_that_is_asked_for_and_missing_is_an_error_in_one_line(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    ran = run(*command, "--device", "cuda", "--json", cache=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert re.fullmatch(
        r"dscost: --device cuda: torch .*CUDA.*; --no-time counts without measuring", line
    )
    assert not list(tmp_path.iterdir())  # there are no ceilings to keep either
    assert run(*command, "--device", "cuda", "--no-time", "--json", cache=tmp_path).returncode == 0


@pytest.mark.usefixtures("own_time")
def test_beside_a_cpu_a_missing_cuda_is_a_warning(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    devices = (
        "--device",
        "cuda",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--memory-format",
        "contiguous",
    )
    ran = run(*LAYER, *devices, "--time-budget", "500ms", "--json", cache=tmp_path)
    assert ran.returncode == 0, ran.stderr
    (subject,) = json.loads(ran.stdout)["subjects"]
    assert list(subject["latency"]) == ["cpu"]
    (warning,) = subject["warnings"]
    assert warning.startswith("Not timed: torch ")
    assert "CUDA" in warning


@pytest.mark.parametrize(
    ("command", "columns", "empty"),
    [
        pytest.param(LAYER, "macs,latency,speedup", "latency,speedup", id="layer"),
        pytest.param(
            ("model", "resnet18"), "standard_latency,macs", "standard_latency", id="model"
        ),
    ],
)
def test_columns_that_only_timing_fills_are_refused_without_it(
    command: tuple[str, ...], columns: str, empty: str, tmp_path: Path
) -> None:
    ran = run(*command, "--no-time", "--columns", columns, cache=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"dscost: --columns {empty}: not measured with --no-time\n"
