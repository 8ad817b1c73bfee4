"""Devices by name, with the figures of their datasheets. No torch.

>>> find_device("t4", "float16").ridge_flops_per_byte
203.125
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dscost.configs import config_folder
from dscost.devices.peaks import Peaks
from dscost.devices.roofline import LEAST_PER_S, MOST_PER_S, Ceilings
from dscost.errors import FileProblems, InputError, UnknownNameError, some_of
from dscost.notation import forms
from dscost.notation.forms import Keyed
from dscost.notation.marked_yaml import Node, Problems, read_yaml
from dscost.notation.units import DTYPE_BYTES, dtype_bytes

ENDINGS = (".yaml", ".yml")
"""What tells the path of a file from the name of a device."""


class Device(NamedTuple):
    """A device as its file describes it; the schema of such files says what is said here.

    Args:
        key: Its name on the command line, that of the file.
        name: As people call it.
        source: The public documents that the figures come from.
        flops_per_s: Peak by dtype.
        bytes_per_s: Bandwidth of main memory.
    """

    key: str
    name: str
    source: str
    flops_per_s: Mapping[str, float]
    bytes_per_s: float


def devices() -> list[Device]:
    """Return all built-in devices."""
    return [read_device(path) for path in _files()]


def device_names() -> list[str]:
    """Return the names of all built-in devices, whose files are not read."""
    return [path.stem for path in _files()]


def sheet_of(name: str) -> Device:
    """Return the data sheet of a built-in device, or of a user's own `.yaml` file.

    Raises:
        UnknownNameError: There is no such device.
        InputError: The file cannot be read or is wrong.
    """
    if name.endswith(ENDINGS):
        return read_device(Path(name))
    paths = {path.stem: path for path in _files()}
    if name not in paths:
        raise UnknownNameError("device", name, paths)
    return read_device(paths[name])


def find_peaks(name: str, dtype: str) -> Peaks:
    """Return the peaks of a device of `sheet_of`, for a model of a dtype.

    Raises:
        UnknownNameError: There is no such device or dtype.
        InputError: It has no figure for that dtype, or the file cannot be read or is wrong.
    """
    return Peaks(find_device(name, dtype), sheet_of(name).flops_per_s)


def find_device(name: str, dtype: str) -> Ceilings:
    """Return the ceilings of a device of `sheet_of`, for values of a dtype.

    Raises:
        UnknownNameError: There is no such device or dtype.
        InputError: It has no figure for that dtype, or the file cannot be read or is wrong.
    """
    dtype_bytes(dtype)
    device = sheet_of(name)
    if dtype not in device.flops_per_s:
        missing = f"no figure for {dtype} (it has {some_of(device.flops_per_s)})"
        if name.endswith(ENDINGS):
            figures = read_yaml(Path(name)).value["flops_per_s"]
            raise FileProblems(name, [figures.at_key(missing)])
        raise InputError(f"{device.name} has {missing}")
    return Ceilings(
        device=device.key,
        name=device.name,
        dtype=dtype,
        threads=None,
        flops_per_s=device.flops_per_s[dtype],
        bytes_per_s=device.bytes_per_s,
        source=device.source,
    )


def keys_of(names: Sequence[str]) -> dict[str, str]:
    """Return what a report calls each device: a file by its stem, unless two share that.

    >>> keys_of(["t4", "mine/board.yaml", "mine/t4.yaml"])
    {'t4': 't4', 'mine/board.yaml': 'board', 'mine/t4.yaml': 'mine/t4.yaml'}
    """
    stems = {name: Path(name).stem if name.endswith(ENDINGS) else name for name in names}
    shared = Counter(stems.values())
    return {name: stem if shared[stem] == 1 else name for name, stem in stems.items()}


def read_device(path: Path) -> Device:
    """Return the device of a file.

    Raises:
        InputError: The file cannot be read.
        FileProblems: Everything that is wrong with it, each with its place.
    """
    problems = Problems()
    values = DEVICE.read(read_yaml(path, problems), problems)
    problems.refuse(str(path))
    return Device(path.stem, **{**values, "source": "; ".join(values["source"])})


def _files() -> list[Path]:
    return sorted(config_folder("devices").glob("*.yaml"))


def _found(node: Node) -> str:
    return node.kind if isinstance(node.value, dict | list | None) else f"'{node.value}'"


def _per_second(node: Node) -> float:
    if type(node.value) not in (int, float) or node.value <= 0:
        raise InputError(f"expected a number above 0 such as 12.8e9, found {_found(node)}")
    if not LEAST_PER_S <= node.value <= MOST_PER_S:
        wrong = f"{node.value:g}, which no device has"
        raise InputError(f"expected a number per second such as 12.8e9, found {wrong}")
    return float(node.value)


_PER_SECOND = forms.parsed(
    _per_second, {"type": "number", "minimum": LEAST_PER_S, "maximum": MOST_PER_S}
)
_TEXT = forms.text(found=_found)

DEVICE = Keyed(
    {
        "name": _TEXT,
        "source": forms.one_or_more(_TEXT),
        "flops_per_s": Keyed(
            dict.fromkeys(DTYPE_BYTES, _PER_SECOND),
            what="dtype",
            expected="a figure per dtype",
            empty="expected a figure per dtype, found a mapping",
        ),
        "bytes_per_s": _PER_SECOND,
    },
    required=("name", "source", "flops_per_s", "bytes_per_s"),
    expected="a mapping with name, source, flops_per_s, bytes_per_s",
    of=Device,
)
"""The file of a device."""
