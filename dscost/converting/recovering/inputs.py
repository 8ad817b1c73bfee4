"""What a model is calibrated on: a folder of images, arrays, or what code gives. No torch.

Of each kind about `MOST_INPUTS` are taken, so that the time is bounded.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dscost.converting.recovering.arrays import (
    ARRAYS,
    MOST_INPUTS,
    Arrays,
    Wanted,
    arrays_of,
    read_arrays,
)
from dscost.converting.recovering.images import read_images
from dscost.errors import InputError, first_line
from dscost.foreign.failures import must_pass
from dscost.sources.code_files import is_in_file, named_in_file

OPTION = "--calibrate"
KINDS = "a folder of images, an .npy or .npz, or file.py:NAME"


class Given(NamedTuple):
    """Inputs as they were given.

    Args:
        source: What they are from, as it was given.
        arrays: All of them, where they can be put into batches of any size.
        batches: Else each as it came: an array, a tensor, several of them, or a mapping.
        notes: What is to be said of them.
        importing: A context for while code runs that may be theirs.
    """

    source: str
    arrays: Arrays | None = None
    batches: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()
    importing: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def fingerprint(self) -> str:
        """What tells these inputs from others."""
        found = sha256()
        given: Any = self.batches if self.arrays is None else dict(self.arrays.values)
        for value in _values_in(given):
            array = value.detach().cpu() if hasattr(value, "detach") else value
            found.update(repr(getattr(array, "shape", array)).encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]


def _values_in(given: Any) -> Iterator[Any]:
    """Yield arrays and tensors, however they are held."""
    if isinstance(given, Mapping):
        given = [one for name in sorted(given, key=str) for one in (name, given[name])]
    if isinstance(given, list | tuple):
        for one in given:
            yield from _values_in(one)
    elif given is not None:
        yield given


def read_inputs(calibrate: Any, wanted: Sequence[Wanted] | None) -> Given:
    """Return what a model is calibrated on.

    Args:
        calibrate: A path or `file.py:NAME`; or from Python an array, a mapping of them, or
            something that gives one batch after the other.
        wanted: The inputs of the model; unknown where no input was given to count it on.

    Raises:
        InputError: There is no such file, or it has not what the model takes.
        UnavailableError: What reads it is not installed.
    """
    if isinstance(calibrate, str | PathLike):
        return _from_text(str(calibrate), wanted)
    return _from_value(calibrate, Given("calibrate"), wanted, "calibrate")


def _from_value(value: Any, given: Given, wanted: Sequence[Wanted] | None, what: str) -> Given:
    array = _as_array(value)
    named = {"": array}
    if isinstance(value, Mapping):
        named = {str(name): _as_array(one) for name, one in value.items()}
        if any(one is None for one in named.values()):
            raise InputError(f"{what}: a mapping is of arrays or tensors by the names of inputs")
    elif array is None and (not hasattr(value, "__iter__") or isinstance(value, str | bytes)):
        raise InputError(f"{what}: gives no inputs one after the other, found {value!r:.60}")
    elif array is None:
        return _taken(given, value, what)
    return given._replace(arrays=arrays_of(named, _known(wanted, what), what))


def _from_text(text: str, wanted: Sequence[Wanted] | None) -> Given:
    what, path = f"{OPTION} {text}", Path(text)
    if is_in_file(text):
        named = named_in_file(text, option=OPTION)
        given = Given(text, importing=named.importing)
        with given.importing():
            value = named.value
            if callable(value):
                value = _made(value, what)
        return _from_value(value, given, wanted, what)
    if path.is_dir():
        arrays, notes = read_images(path, _known(wanted, what), what)
        return Given(text, arrays, notes=notes)
    if not path.exists():
        raise InputError(f"{what}: no such file or folder; expected {KINDS}")
    if path.suffix not in ARRAYS:
        raise InputError(f"{what}: expected {KINDS}")
    return Given(text, read_arrays(path, _known(wanted, what), what))


def _known(wanted: Sequence[Wanted] | None, what: str) -> Sequence[Wanted]:
    if wanted is None:
        raise InputError(f"{what}: the size of an input is not known: give it, as input=(1, 3, …)")
    return wanted


def _made(value: Any, what: str) -> Any:
    """Return what a function gives."""
    try:
        return value()
    except (Exception, SystemExit) as error:
        if must_pass(error):
            raise
        raise InputError(f"{what}: it raised {first_line(error)}") from error


def _taken(given: Given, source: Any, what: str) -> Given:
    """Return the first batches that something gives, until there are enough inputs."""
    found: list[Any] = []
    inputs, is_cut = 0, False
    with given.importing():
        for batch in _each(source, what):
            if inputs >= MOST_INPUTS:
                is_cut = True
                break
            found.append(batch)
            inputs += inputs_of(batch)
    if not found:
        raise InputError(f"{what}: gives no inputs")
    notes = (f"The first {inputs} inputs are calibrated on.",) if is_cut else ()
    return given._replace(batches=tuple(found), notes=(*given.notes, *notes))


def _each(source: Any, what: str) -> Iterator[Any]:
    """Yield what somebody's code gives, whose errors are told as its."""
    try:
        left = iter(source)
    except (Exception, SystemExit) as error:
        if must_pass(error):
            raise
        raise InputError(f"{what}: it raised {first_line(error)}") from error
    while True:
        try:
            batch = next(left)
        except StopIteration:
            return
        except (Exception, SystemExit) as error:
            if must_pass(error):
                raise
            raise InputError(f"{what}: it raised {first_line(error)}") from error
        yield batch


def inputs_of(batch: Any) -> int:
    """Return how many inputs a batch has: the first axis of its first array of several."""
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, list | tuple):
        return next((inputs_of(one) for one in batch), 1)
    shape = tuple(getattr(batch, "shape", ()))
    return int(shape[0]) if shape[1:] else 1


def _as_array(value: Any) -> np.ndarray | None:
    """Return an array or a tensor as an array, anything else as nothing."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    return value if isinstance(value, np.ndarray) else None
