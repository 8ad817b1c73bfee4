"""What a model is calibrated on: a folder of images, arrays, or what code gives. No torch.

Of each kind at most `MOST_INPUTS` are taken, so that the time is bounded; where some are left, that
is told.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dscost.converting.asking import OptionText
from dscost.converting.recovering.arrays import (
    ARRAYS,
    MOST_INPUTS,
    Arrays,
    Wanted,
    arrays_of,
    read_arrays,
)
from dscost.converting.recovering.counting import Batching, batching_of
from dscost.converting.recovering.images import read_images
from dscost.errors import InputError, first_line
from dscost.foreign.failures import must_pass
from dscost.notation.units import counted
from dscost.sources.code_files import is_in_file, named_in_file

NAME, OPTION = "calibrate", "--calibrate"
"""How what was given is called: from Python, and on the command line."""
KINDS = "a folder of images, an .npy or .npz, or file.py:NAME"


class Given(NamedTuple):
    """Inputs as they were given.

    Args:
        source: What they are from, as it was given.
        arrays: All of them, where they can be put into batches of any size.
        batches: Else each as it came: an array, a tensor, several of them, or a mapping.
        notes: What is to be said of them.
        batching: How those of a batch are counted.
    """

    source: str
    arrays: Arrays | None = None
    batches: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()
    batching: Batching = Batching()

    @property
    def fingerprint(self) -> str:
        """What tells these inputs from others."""
        found = sha256()
        given: Any = self.batches if self.arrays is None else dict(self.arrays.values)
        for value in _values_in(given):
            array = value.detach().cpu() if hasattr(value, "detach") else value
            if "bfloat16" in str(getattr(array, "dtype", "")):  # numpy has none
                array = array.float()
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


def read_inputs(
    calibrate: Any,
    wanted: Sequence[Wanted] | None,
    batching_seen: Callable[[Any], Batching] = lambda batch: Batching(),
) -> Given:
    """Return what a model is calibrated on.

    Args:
        calibrate: A path or `file.py:NAME`; or from Python an array, a mapping of them, or
            something that gives one batch after the other.
        wanted: The inputs of the model; unknown where no input was given to count it on.
        batching_seen: Tells of the first batch how its inputs are counted, where it is unknown.

    Raises:
        InputError: There is no such file, or it has not what the model takes.
        UnavailableError: What reads it is not installed.
    """
    if wanted is not None:
        known = batching_of(wanted)

        def batching_seen(batch: Any) -> Batching:
            return known

    reading = _Reading(wanted, batching_seen)
    if isinstance(calibrate, str | PathLike):
        option = OPTION if isinstance(calibrate, OptionText) else NAME
        return reading.of_text(str(calibrate), option)
    return reading.of_value(calibrate, Given(NAME), NAME)


class _Reading(NamedTuple):
    """How inputs are read: see `read_inputs`."""

    wanted: Sequence[Wanted] | None
    batching_seen: Callable[[Any], Batching]
    importing: Callable[[], AbstractContextManager[None]] = nullcontext

    def of_value(self, value: Any, given: Given, what: str) -> Given:
        """Return what arrays hold, or what something gives."""
        array = _as_array(value)
        named = {"": array}
        if isinstance(value, Mapping):
            named = {str(name): _as_array(one) for name, one in value.items()}
            if any(one is None for one in named.values()):
                raise InputError(
                    f"{what}: a mapping is of arrays or tensors by the names of inputs"
                )
        elif array is None and (not hasattr(value, "__iter__") or isinstance(value, str | bytes)):
            raise InputError(f"{what}: gives no inputs one after the other, found {value!r:.60}")
        elif array is None:
            return self._taken(given, value, what)
        return self._of_arrays(given, arrays_of(named, _known(self.wanted, what), what))

    def of_text(self, text: str, option: str) -> Given:
        """Return what a path or `file.py:NAME` stands for."""
        what, path, given = f"{option} {text}", Path(text), Given(text)
        if is_in_file(text):
            named = named_in_file(text, option=option)
            with named.importing():
                value = named.value
                if callable(value):
                    value = _made(value, what)
            return self._replace(importing=named.importing).of_value(value, given, what)
        if path.is_dir():
            wanted = _known(self.wanted, what)
            arrays, notes = read_images(path, wanted, what)
            return given._replace(arrays=arrays, notes=notes, batching=batching_of(wanted))
        if not path.exists():
            raise InputError(f"{what}: no such file or folder; expected {KINDS}")
        if path.suffix not in ARRAYS:
            raise InputError(f"{what}: expected {KINDS}")
        return self._of_arrays(given, read_arrays(path, _known(self.wanted, what), what))

    def _of_arrays(self, given: Given, arrays: Arrays) -> Given:
        notes = given.notes
        if len(arrays) < arrays.there:
            told = f"{len(arrays)} of the {arrays.there:,} inputs are calibrated on, evenly spaced."
            notes = (*notes, told)
        assert self.wanted is not None
        return given._replace(arrays=arrays, notes=notes, batching=batching_of(self.wanted))

    def _taken(self, given: Given, source: Any, what: str) -> Given:
        """Return the first batches that something gives, so long as they are not too many.

        The first one is cut where it is that alone; others, whose size the model may need, never.
        """
        found: list[Any] = []
        batching, inputs, is_cut = Batching(), 0, False
        with self.importing():
            for batch in _each(source, what):
                if not found:
                    batching = self.batching_seen(batch)
                number = batching.inputs_in(batch)
                is_cut = inputs + number > MOST_INPUTS
                if is_cut and found:
                    break
                found.append(batching.first(batch, MOST_INPUTS))
                inputs += min(number, MOST_INPUTS)
                if is_cut:
                    break
        if not inputs:
            raise InputError(f"{what}: gives no inputs")
        told = f"The first {counted(inputs, 'input')} of more: at most {MOST_INPUTS} are taken."
        notes = (*given.notes, *([told] if is_cut else []))
        return given._replace(batches=tuple(found), notes=notes, batching=batching)


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


def _as_array(value: Any) -> np.ndarray | None:
    """Return an array or a tensor as an array, anything else as nothing."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    return value if isinstance(value, np.ndarray) else None
