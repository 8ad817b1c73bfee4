"""A counted layer or model → an ONNX file of it, with random weights or its own.

What is data is written without torch; a torch model by `torch.onnx`.
"""

from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dscost.analysis import Request, count
from dscost.analysis.architectures import ArchitectureVersions
from dscost.analysis.counting import CountedModel, layer_of
from dscost.analysis.varying import parts_of, with_variants
from dscost.converting.saving import Saved
from dscost.errors import (
    InputError,
    SpecError,
    UnavailableError,
    UnknownNameError,
    first_of,
    needing_onnx,
    without,
)
from dscost.files import check_folder, write_whole
from dscost.layers.choosing import parse_variants
from dscost.layers.variants import STANDARD, VERSIONS
from dscost.networks.network import Operation, stage_operations
from dscost.notation.units import dtype_bytes
from dscost.reports.records import Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

AS_IS = VERSIONS[0]
ENDING = ".onnx"


def export_onnx(
    target: "str | PathLike[str] | nn.Module | Report",
    path: str | PathLike[str],
    version: str | None = None,
    *,
    input: Any = None,
    batch: int | None = None,
    dtype: str | None = None,
    settings: "Mapping[str, Any] | None" = None,
    kwargs: "Mapping[str, Any] | None" = None,
    trust: bool = False,
    seed: int = 0,
) -> None:
    """Write a layer or a model as an ONNX file, for inference on the input that it is counted on.

    A layer and an architecture are written without torch, with random weights that keep the values
    in scale; nodes and weights have the names that they have in reports, and the file, counted
    again, costs what the report says. A torch model keeps its own weights, where it has values; it
    is written by `torch.onnx`, which folds normalisations into the convolutions before them.

    Args:
        target: What `dscost.layer` returned; or an `nn.Module`, or any target of the command line
            that is a model.
        path: The file, `net.onnx`. What is there is written over.
        version: Of a layer `standard`, which is the default, or any of `dscost list variants`, as
            `ghost` or `grouped:8`; of a model `as_is`, which is the default, `standard` or
            `depthwise_separable`.
        input: As `dscost.analyze` takes it.
        batch: As `dscost.analyze` takes it, and what follows as well.
        dtype: Data type of weights and activations.
        settings: What to change of an architecture's own settings.
        kwargs: For the factory that makes a torch model.
        trust: Whether code that a `program.pt2` holds or names may run.
        seed: Of random weights.

    Raises:
        InputError: The target is no layer and no model, has no such version, or ONNX cannot hold
            it.
        UnavailableError: onnx is not installed, or what else a torch model needs.
        OutputError: The file cannot be written.

    >>> import dscost
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "layer.onnx")
    ...     dscost.export_onnx(dscost.layer(256, 256, 3), path, "depthwise_separable")
    ...     dscost.analyze(path).totals.as_is.params
    67840
    """
    file = Path(path)
    if file.suffix != ENDING:
        raise InputError(f"expected a file ending in {ENDING}, found '{file}'")
    if not isinstance(version, str | None):
        told = "an input is given as input=…"
        raise InputError(f"a version is a name such as 'standard', found {version!r:.60}: {told}")
    check_folder(file)
    require_onnx()
    request = Request(input, batch, dtype, settings, kwargs, trust)
    if isinstance(target, Report):
        if request.changes:
            given = ", ".join(request.changes)
            raise InputError(f"a report is of one input, counted already: {given} cannot change it")
        made = layer_as_onnx(target, version, seed)
    else:
        made = model_as_onnx(count(target, request), version, seed)
    write_whole(file, made.content)


def require_onnx(*, of_torch: bool = False) -> None:
    """Refuse to write where a library is not there, before any work.

    Args:
        of_torch: Whether a torch model is to be written.

    Raises:
        UnavailableError: It is not installed.
    """
    with needing_onnx():
        import dscost.graphs.writing  # noqa: F401
    if of_torch and find_spec("onnxscript") is None:  # whose import takes a second or two
        raise UnavailableError(without("onnxscript", "onnx-export"))


def layer_as_onnx(report: Report, variant: str | None = None, seed: int = 0) -> Saved:
    """Return a layer as an ONNX file holds it, or one of its variants.

    Args:
        report: Of `count_layer`.
        variant: Its name, as `ghost` or `grouped:8`; the convolution itself where there is none.
        seed: Of its weights.

    Raises:
        InputError: The report is of no layer, or the layer has no such variant.
    """
    if report.source != "layer":
        raise InputError(f"a report of {report.target} has its figures, not the model itself")
    (layer,) = report.layers
    (asked,) = parse_variants([variant or STANDARD])
    label, element_bytes = asked.label, dtype_bytes(report.inputs[0].dtype)
    assert layer.conv is not None
    depth_multiplier = report.settings["depth_multiplier"]
    itself = layer_of(layer.conv, layer.input_shape, depth_multiplier, element_bytes)
    found, values = with_variants(itself, [label], element_bytes)
    if label not in found.stages:
        raise SpecError(f"cannot write the layer as {label}: {found.note or itself.note}")
    chosen = report._replace(layers=(found,), settings={"variants": values})
    operations = stage_operations(parts_of(chosen, label), layer.input_shape)
    return _from_data(operations, report, label, seed)


def model_as_onnx(model: CountedModel, version: str | None = None, seed: int = 0) -> Saved:
    """Return a model as an ONNX file holds it, or one of its versions.

    Args:
        model: What was counted.
        version: One of `VERSIONS`; as it is where there is none.
        seed: Of its weights, where they are random.

    Raises:
        InputError: It is no model, has no such version, or ONNX cannot hold it.
        UnavailableError: A library is not installed.
    """
    name, label = model.report.target, (version or AS_IS).replace("-", "_")
    if label not in VERSIONS:
        raise UnknownNameError("version of a model", label, VERSIONS)
    if model.saved:
        raise InputError(f"a saved report of {name} has its figures, not the model itself")
    if model.report.source == "onnx":
        raise InputError(f"{name} is an ONNX file already: dscost convert makes another of it")
    versions = model.versions
    if isinstance(versions, ArchitectureVersions):
        return _from_data(versions.written(label, model.swaps), model.report, label, seed)
    if hasattr(versions, "measure"):
        raise InputError(f"{name} is in a process of its own, see --isolate: it cannot be written")
    if versions is None:
        raise InputError(f"{name} was counted for training: only inference can be written")
    return _from_torch(model, label, seed)


def _from_data(operations: "Sequence[Operation]", report: Report, label: str, seed: int) -> Saved:
    from dscost.graphs.writing import content_of, written

    model = written(operations, dtype=report.inputs[0].dtype, name=report.target, seed=seed)
    batch = operations[0].input_shapes[0][0]
    return Saved(content_of(model), f"{_in_words(label)}, of batch {batch}, random weights")


def _from_torch(model: CountedModel, label: str, seed: int) -> Saved:
    """Return a torch model as `torch.onnx` writes it, of the batch that it is counted on."""
    import torch

    from dscost.analysis.traced import TracedVersions
    from dscost.converting.exporting import as_onnx, as_program
    from dscost.converting.loading import RANDOM, real_module
    from dscost.foreign.parts import dtype_name, each_parameter
    from dscost.rewriting.versions import rewritten
    from dscost.runtimes.exporting import newer_exporter
    from dscost.timing import Setting

    newer_exporter()
    versions, left = model.versions, dict[str, str]()
    assert isinstance(versions, TracedVersions)
    with versions.importing():
        module = real_module(versions.source, seed, is_changed=False)
        if label != AS_IS:
            module, left = rewritten(module, versions.traced.events, model.swaps, label)
        floats = (one.dtype for one in each_parameter(module) if one.is_floating_point())
        dtype = dtype_name(next(floats, torch.float32))
        arguments = versions.arguments(Setting(dtype=dtype))
        exported = as_program(module, arguments, dtype, any_batch=False)
        content = as_onnx(exported)
    told = [_in_words(label), exported.in_words()]
    if model.report.source in RANDOM or label != AS_IS:
        of = "" if model.report.source in RANDOM else " where layers were replaced"
        told.append(f"random weights{of}")
    if left:
        told.append(f"but for {first_of([f'{name}: {why}' for name, why in left.items()], 1)}")
    return Saved(content, ", ".join(told))


def _in_words(label: str) -> str:
    return "as it is" if label == AS_IS else label.replace("_", "-")
