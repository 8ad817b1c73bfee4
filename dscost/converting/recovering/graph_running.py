"""A model of ONNX run by ONNX Runtime for some of its tensors, and no further. No torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, ValueInfoProto

from dscost.errors import InputError, first_line, needing
from dscost.graphs.changing import drop_unread
from dscost.graphs.running import silent_options
from dscost.graphs.writing import serialized

Feeds = Mapping[str, np.ndarray]


def require_runtime() -> None:
    """Say how to install ONNX Runtime where it is not.

    Raises:
        UnavailableError: It is not.
    """
    with needing("onnxruntime", "onnxruntime", before="calibrating an ONNX file runs it: "):
        import onnxruntime  # noqa: F401


class Fetching:
    """Some tensors of a model, computed from what it is given.

    Args:
        model: Left as it is.
        wanted: Names of tensors; by default the outputs.

    Raises:
        InputError: ONNX Runtime does not take it, or it is too large for that.
    """

    def __init__(self, model: ModelProto, wanted: Sequence[str] | None = None) -> None:
        copy = ModelProto()
        copy.CopyFrom(model)
        given = {one.name for one in copy.graph.input}
        if wanted is not None:
            self._wanted = list(wanted)
            del copy.graph.output[:]
            made = (name for name in dict.fromkeys(wanted) if name not in given)
            copy.graph.output.extend(ValueInfoProto(name=name) for name in made)
            drop_unread(copy.graph)
        else:
            self._wanted = [one.name for one in copy.graph.output]
        self._asked = [one.name for one in copy.graph.output]
        self._session = _session(copy) if self._asked else None

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        """Return the tensors.

        Raises:
            InputError: It cannot be run.
        """
        found: dict[str, Any] = dict(feeds)
        if self._session is not None:
            try:
                results = self._session.run(self._asked, dict(feeds))
            except Exception as error:  # another program may say anything
                told = f"the model cannot be run to calibrate it: {first_line(error)}"
                raise InputError(told) from error
            found |= zip(self._asked, results, strict=True)
        return [found[name] for name in self._wanted]


def _session(model: ModelProto) -> Any:
    import onnxruntime

    content, options = serialized(model), silent_options()
    # threads that wait for the next run by spinning take the processor from numpy meanwhile
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        told = f"ONNX Runtime does not run the model to calibrate it: {first_line(error)}"
        raise InputError(told) from error


def numbers_in(results: Sequence[Any]) -> list[np.ndarray]:
    """Return the tensors of fractions; a sequence or a mapping has none that are compared."""
    return [one for one in results if isinstance(one, np.ndarray) and one.dtype.kind == "f"]
