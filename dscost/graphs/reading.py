"""A file → its graph without the weights: their types are all that is needed."""

import os
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from google.protobuf.message import DecodeError
from onnx import ModelProto

from dscost.errors import InputError, NoFileError, did_you_mean
from dscost.files import ZIP, reason_of, what_is
from dscost.graphs.checking import check_model
from dscost.graphs.external import read_small, refuse_outside
from dscost.graphs.skimming import NoMessageError, structure_of
from dscost.graphs.tensors import is_external
from dscost.printable import shortened

MOST_BYTES = 2**31
"""No ONNX file is larger than what protobuf can hold."""


def read_model(path: Path) -> ModelProto:
    """Return the model of a file, without the data of large tensors.

    Of external data only small tensors are read, as shapes are, and only from inside of the folder
    of the file; where the rest is, is looked up.

    Raises:
        NoFileError: There is no such file.
        InputError: It is no ONNX file, or none that can be: all that is said of a graph before any
            node of it is looked at in earnest.
    """
    model = ModelProto()
    try:
        model.ParseFromString(_structure(path))
        is_model = model.HasField("graph")
    except (DecodeError, NoMessageError):
        is_model = False
    if not is_model:
        raise InputError(f"{path}: {_instead(path)}")
    try:
        read_small(check_model(model), path.parent)
    except InputError as error:
        raise InputError(f"{path}: {shortened(str(error))}") from error
    return model


def external_files(content: bytes) -> list[str]:
    """Return the files that the content of an ONNX file has weights in, as it names them.

    Raises:
        InputError: It is no ONNX file, or one of them would not be in its folder.
    """
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise InputError("it is no ONNX file") from error
    found: dict[str, None] = {}
    for tensor in filter(is_external, check_model(model)):
        location = next((one.value for one in tensor.external_data if one.key == "location"), "")
        refuse_outside(location, f"external data '{location}' of tensor '{tensor.name}'")
        found[location] = None
    return list(found)


def read_whole(path: Path) -> ModelProto:
    """Return the model of a file that `read_model` has read, with all of its weights in it.

    Raises:
        InputError: It cannot be read any more, or external data cannot.
    """
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
        read_small(check_model(model), path.parent, everything=True)
    except (OSError, DecodeError) as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return model


def _structure(path: Path) -> bytes:
    try:
        # whoever opens a pipe to read waits for a writer, unless told not to
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags)
        with os.fdopen(handle, "rb", buffering=0) as stream:
            found = os.fstat(handle)
            if S_ISDIR(found.st_mode):
                raise InputError(f"{path}: a folder, expected an ONNX file")
            if not S_ISREG(found.st_mode):
                raise InputError(f"cannot read {path}: not a regular file")
            if found.st_size > MOST_BYTES:
                told = f"{found.st_size:,} bytes, an ONNX file has at most {MOST_BYTES:,}"
                raise InputError(f"{path}: {told}")
            try:
                return structure_of(stream, found.st_size)
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise NoFileError(f"cannot read {path}: no such file{_nearest(path)}") from error
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        raise InputError(f"cannot read {path}: {reason_of(error)}") from error


def _nearest(path: Path) -> str:
    try:
        there = [one.stem for one in path.parent.glob("*.onnx")]
    except OSError:
        return ""
    # an ending that all have is no likeness
    return did_you_mean(path.stem, there).replace("'?)", f"{path.suffix}'?)")


def _instead(path: Path) -> str:
    found = what_is(path)
    unknown = "bytes of an unknown kind"
    if found == ZIP:
        found += ", as torch.save writes: export the model to ONNX first"
    return "not an ONNX file, or a part of one" if found == unknown else f"no ONNX file: {found}"
