"""`--export onnx=FILE`: an export that holds the model itself, beside those of what it costs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dscost.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from dscost.converting.saving import Saved
    from dscost.timing import Progress

FORMAT, ENDING = "onnx", ".onnx"
MEANING = (
    f"[{ENDING}] The model itself, by --export onnx=FILE of dscost layer, model and convert; "
    "onnx:VERSION=FILE of the first two writes a variant of the layer or a version of the model."
)
"""What `dscost list formats` says of it."""
WRITE_MODELS = ("layer", "model", "convert")


class ModelFile(NamedTuple):
    """A file that is to hold a model.

    Args:
        version: Which of a model, or which variant of a layer; as it is where none is named.
        path: The file.
        entry: As it was given.
    """

    version: str | None
    path: Path
    entry: str


Content = tuple[Path, bytes, str]
"""A file, what it is to hold, and what its reader must know."""


def model_file(entry: str) -> ModelFile | None:
    """Return what an entry of `--export` means, where that is a model.

    >>> model_file("onnx:ghost=small.onnx").version, model_file("onnx=a.onnx").version
    ('ghost', None)
    >>> model_file("json=a.json")

    Raises:
        InputError: Its file has another ending.
    """
    name, equals, path = entry.partition("=")
    format_name, colon, version = name.partition(":")
    if not equals and Path(entry).suffix == ENDING:
        return ModelFile(None, Path(entry), entry)
    if format_name != FORMAT:
        return None
    if Path(path).suffix != ENDING or (colon and not version):
        raise InputError(
            f"--export: expected onnx=FILE{ENDING} or onnx:VERSION=FILE{ENDING}, found '{entry}'"
        )
    return ModelFile(version or None, Path(path), entry)


def check_model_files(files: Sequence[ModelFile], command: str) -> None:
    """Refuse models of a command that has none, and any where onnx is not there.

    Raises:
        InputError: The command writes none, or a model has no such version.
        UnavailableError: onnx is not installed.
    """
    if not files:
        return
    if command not in WRITE_MODELS:
        *others, last = (f"dscost {name}" for name in WRITE_MODELS)
        raise InputError(
            f"--export {files[0].entry}: an ONNX file holds a model, which dscost {command} does "
            f"not write; {', '.join(others)} and {last} do"
        )
    from dscost.layers.variants import VERSIONS  # most command lines need none

    for one in files if command == "model" else ():
        if one.version is not None and one.version.replace("-", "_") not in VERSIONS:
            raise UnknownNameError("version of a model", one.version, VERSIONS)
    if command != "convert":  # which needs more, and says so itself
        from dscost.converting.writing import require_onnx

        require_onnx()


def contents(
    files: Sequence[ModelFile],
    write: "Callable[[str | None], Saved]",
    progress: "Progress | None" = None,
) -> list[Content]:
    """Return what the files are to hold, made before anything is measured that may take longer."""
    made = []
    for one in files:
        if progress:
            progress(None, f"making {one.path.name}")
        content, told = write(one.version)
        made.append((one.path, content, told))
    return made
