"""Formats of latency tables that search programs read: Once-for-all, ProxylessNAS, nn-Meter.

Times are milliseconds, as theirs are; the time of a row is a median. Heights and widths stand
before channels.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from dscost.errors import InputError
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.others import ActivationSpec, GlobalPoolSpec, LinearSpec, PoolSpec
from dscost.networks.network import stage_operations
from dscost.sweeping.emitting import Entry, Table, place_in_words, register_table_format
from dscost.sweeping.grids import AXES
from dscost.sweeping.model_layers import TAKEN_ALONG
from dscost.sweeping.units import Unit
from dscost.version import __version__

OF_IMAGES = 2
"""Spatial dimensions of all that these formats know."""
OF_PICTURES = 3
"""Channels of what the first convolution of a network of Once-for-all reads."""

# -- Once-for-all


@register_table_format(
    "ofa",
    title="Once-for-all's table",
    meaning="the YAML that Once-for-all's latency tables of MobileNetV3 read",
)
def once_for_all(entries: Sequence[Entry]) -> Table:
    """Return the table that `MBv3LatencyTable` of Once-for-all looks up its blocks in.

    A block is named by its middle channels. Its reader takes nothing but `mean`; `count` is how
    often a row was measured, and `std` how sure its median is. Blocks have no squeeze-and-excite
    (`se:0`) and no h-swish (`hs:0`). What reads 3 channels is the first convolution, `Conv`.

    Source:
        mit-han-lab/once-for-all, ofa/nas/efficiency_predictor/latency_lookup_table.py.
    """
    return _yaml_of(_keyed(entries, "Once-for-all's table", _key_of_mobilenet_v3), entries)


@register_table_format(
    "proxylessnas",
    title="ProxylessNAS's table",
    meaning="the same for ProxylessNAS, whose blocks are named by their expansion",
)
def proxylessnas(entries: Sequence[Entry]) -> Table:
    """Return the table that `ProxylessNASLatencyTable` of Once-for-all looks up its blocks in.

    Its `Logits` are all that stands behind the last convolution: where a global pooling and a
    linear layer of its channels were timed, their sum.

    Source:
        mit-han-lab/proxylessnas, search/utils/latency_estimator.py.
    """
    keyed = _keyed(entries, "ProxylessNAS's table", _key_of_proxylessnas)
    return _yaml_of(_with_logits(keyed, entries), entries)


class _Keyed(NamedTuple):
    """Entries by their keys in a table, as mean, deviation and count; and those without a key."""

    times: dict[str, tuple[float, float | None, int]]
    left_out: dict[str, int]


def _keyed(entries: Sequence[Entry], title: str, key_of: Callable[[Unit], str | None]) -> _Keyed:
    rows: dict[str, Entry] = {}
    left_out: Counter[str] = Counter()
    batches = _batches(entries)
    if len(batches) > 1:
        told = " and ".join(map(str, batches[:2]))
        raise InputError(f"{title} does not tell batches apart, such as {told}: sweep them apart")
    for one in entries:
        key = key_of(one.unit)
        if key is None:
            left_out[one.unit.label] += 1
        elif key in rows:
            _refuse_both(title, key, rows[key], one)
        else:
            rows[key] = one
    times = {key: (one.mean_s, one.std_s, max(1, one.row.visits)) for key, one in rows.items()}
    return _Keyed(times, dict(left_out))


def _batches(entries: Sequence[Entry]) -> list[int]:
    """Return how many inputs at once the rows are of."""
    return sorted({one.unit.shape[0] for one in entries})


def _refuse_both(title: str, key: str, first: Entry, second: Entry) -> None:
    names = (*AXES, "variant")
    of = [{**one.row.of, "variant": one.unit.label} for one in (first, second)]
    apart = [name for name in names if of[0].get(name) != of[1].get(name)]
    sides = [", ".join(f"{name} {_written(one.get(name))}" for name in apart) for one in of]
    raise InputError(
        f"{title} has one place, {key}, for two rows: {' and '.join(sides)}; sweep them apart"
    )


def _written(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _yaml_of(keyed: _Keyed, entries: Sequence[Entry]) -> Table:
    at_once = "".join(f", batch {batch}" for batch in _batches(entries) if batch != 1)
    place = f"{_place(entries)}{at_once}"
    lines = [f"# Latencies in milliseconds, measured by dscost {__version__}: {place}."]
    for key, (mean_s, std_s, count) in sorted(keyed.times.items()):
        # fixed digits: YAML 1.1 reads 1e-05 as text
        deviation = "" if std_s is None else f", std: {std_s * 1e3:.9f}"
        lines.append(f"{key}: {{count: {count}, mean: {mean_s * 1e3:.9f}{deviation}}}")
    return Table("\n".join(lines) + "\n", len(keyed.times), keyed.left_out)


def _place(entries: Iterable[Entry]) -> str:
    wheres = (one.row.where for one in entries)
    return next((place_in_words(where) for where in wheres if where), "nowhere")


def _key_of_mobilenet_v3(unit: Unit) -> str | None:
    block = _block_of(unit)
    if block is None:
        return _key_of_single(unit)
    return f"{_of_block(unit, block, block.middle)}-se:0-hs:0"


def _key_of_proxylessnas(unit: Unit) -> str | None:
    block = _block_of(unit)
    if block is None:
        is_classifier = isinstance(unit.parts[0][1], (LinearSpec, GlobalPoolSpec))
        return None if is_classifier else _key_of_single(unit)
    expansion, rest = divmod(block.middle, unit.shape[1])
    return None if rest else _of_block(unit, block, expansion)


def _with_logits(keyed: _Keyed, entries: Sequence[Entry]) -> _Keyed:
    """Return the entries with those of the classifiers, for each size that is pooled."""
    pools = [one for one in entries if isinstance(one.unit.parts[0][1], GlobalPoolSpec)]
    linears = [one for one in entries if isinstance(one.unit.parts[0][1], LinearSpec)]
    added, used = dict(keyed.times), set()
    for pool in pools:
        for linear in linears:
            features, made = linear.unit.shape[-1], _output_shape(linear.unit)[-1]
            if pool.unit.shape[:2] != (linear.unit.shape[0], features):
                continue
            stds = (pool.std_s, linear.std_s)
            std_s = None if None in stds else sum(one**2 for one in stds if one) ** 0.5
            key = f"Logits-input:{_in_order(pool.unit.shape)}-output:{made}"
            count = max(1, min(pool.row.visits, linear.row.visits))
            added[key] = (pool.mean_s + linear.mean_s, std_s, count)
            used |= {id(pool), id(linear)}
    left_out = Counter(keyed.left_out)
    for one in (*pools, *linears):
        left_out[one.unit.label] -= id(one) in used
    return _Keyed(added, {label: number for label, number in left_out.items() if number > 0})


def _key_of_single(unit: Unit) -> str | None:
    """Return the key of what is no block: the first convolution, or what stands behind the last."""
    spec, made = unit.parts[0][1], _output_shape(unit)
    is_first = isinstance(spec, ConvSpec) and spec.in_channels == OF_PICTURES
    # of a model's layers, the first convolution alone is known by its place
    if any(not is_first or part[1].op not in TAKEN_ALONG for part in unit.parts[1:]):
        return None
    match spec:
        case LinearSpec():
            return f"Logits-input:1x1x{unit.shape[-1]}-output:{made[-1]}"
        case GlobalPoolSpec() if _is_of_images(unit):
            kind = "AvgPool2D"
        case ConvSpec() if _is_plain(spec, unit) and spec.groups == 1:
            if is_first:
                kind = "Conv"
            elif not spec.is_pointwise:
                return None  # what a block is compared with: their networks have none such
            elif set(spec.stride) == {1}:
                kind = "Conv_2" if unit.shape[2:] == (1, 1) else "Conv_1"
            else:
                return None
        case _:
            return None
    return f"{kind}-input:{_in_order(unit.shape)}-output:{_in_order(made)}"


class _Block(NamedTuple):
    """An inverted residual: its depthwise convolution, its middle channels, whether it adds."""

    depthwise: ConvSpec
    middle: int
    has_skip: bool


def _block_of(unit: Unit) -> _Block | None:
    if unit.label.partition(":")[0] != "inverted_residual":
        return None
    by_name = {name: spec for name, spec, *_ in unit.parts}
    depthwise = by_name["depthwise"]
    if not isinstance(depthwise, ConvSpec) or not _is_plain(depthwise, unit):
        return None
    return _Block(depthwise, depthwise.in_channels, any(s.op == "add" for s in by_name.values()))


def _of_block(unit: Unit, block: _Block, expand: int) -> str:
    kernel, stride = block.depthwise.kernel_size[0], block.depthwise.stride[0]
    sizes = f"input:{_in_order(unit.shape)}-output:{_in_order(_output_shape(unit))}"
    how = f"kernel:{kernel}-stride:{stride}-idskip:{int(block.has_skip)}"
    return f"expanded_conv-{sizes}-expand:{expand}-{how}"


# -- nn-Meter

KERNELS = (
    *("conv-bn-relu", "conv-bn-relu6", "conv-bn", "conv-relu", "conv-relu6", "conv-hswish"),
    *("conv-block", "conv-bn-hswish", "dwconv-bn", "dwconv-relu", "dwconv-relu6"),
    *("dwconv-bn-relu", "dwconv-bn-relu6", "dwconv-block", "dwconv-bn-hswish"),
)
"""Convolutions of nn-Meter with what stands behind them; a `block` has nothing there."""
_BEHIND = {"relu": "relu", "relu6": "relu6", "hard_swish": "hswish"}


@register_table_format(
    "nnmeter",
    title="nn-Meter's kernel data",
    meaning="the JSON of profiled kernels that nn-Meter builds its predictors from",
)
def nn_meter(entries: Sequence[Entry]) -> Table:
    """Return kernels by type, each with its configuration and its latency.

    nn-Meter pads so that stride 1 keeps the size: rows that do otherwise have no place, nor have
    those of several inputs at once, of which nothing in it could tell. A kernel without `model` is
    passed over by its reader without a word. `+-` is how sure the median is, of which `nan` says
    that it is unknown.

    Source:
        microsoft/nn-Meter, docs/builder/build_kernel_latency_predictor.md, Kernel Data Format;
        nn_meter/builder/kernel_predictor_builder/predictor_builder/extract_feature.py.
    """
    kernels: dict[str, dict[str, Any]] = {}
    seen: dict[str, Entry] = {}
    left_out: Counter[str] = Counter()
    for one in entries:
        if one.unit.shape[0] != 1:
            left_out[f"{one.unit.label} at batch {one.unit.shape[0]}"] += 1
            continue
        kernel = _kernel_of(one)
        if kernel is None:
            left_out[one.unit.label] += 1
            continue
        kind, config, shape = kernel
        told = json.dumps([kind, config])
        if told in seen:
            _refuse_both("nn-Meter's kernel data", f"{kind} {config}", seen[told], one)
        seen[told] = one
        name = sha256(told.encode()).hexdigest()[:6].upper()
        std_ms = float("nan") if one.std_s is None else one.std_s * 1e3
        kernels.setdefault(kind, {})[name] = {
            "model": f"{kind}_dscost_{name}",
            "shapes": [list(shape)],
            "config": config,
            "latency": f"{one.mean_s * 1e3:.9f} +- {std_ms:.9f}",
        }
    text = json.dumps(kernels, indent=4, ensure_ascii=False)
    return Table(text + "\n", len(seen), dict(left_out))


def _kernel_of(entry: Entry) -> tuple[str, dict[str, int], Shape] | None:
    """Return the type of a kernel, its configuration, and its input without the batch."""
    unit, spec = entry.unit, entry.unit.parts[0][1]
    channels, *sizes = unit.shape[1:]
    if isinstance(spec, LinearSpec) and len(unit.parts) == 1:
        return "fc", {"CIN": spec.in_features, "COUT": spec.out_features}, (spec.in_features,)
    if not _is_of_images(unit) or len(set(sizes)) > 1:
        return None
    config, shape = {"HW": sizes[0], "CIN": channels}, (*sizes, channels)
    if isinstance(spec, ConvSpec):
        kind = _kind_of_conv(entry, spec)
        if kind is None:
            return None
        config |= {
            "COUT": spec.out_channels,
            "KERNEL_SIZE": spec.kernel_size[0],
            "STRIDES": spec.stride[0],
        }
        return kind, config, shape
    if len(unit.parts) > 1:
        return None
    if isinstance(spec, PoolSpec) and len({*spec.kernel_size}) == len({*spec.stride}) == 1:
        window = {"KERNEL_SIZE": spec.kernel_size[0], "POOL_STRIDES": spec.stride[0]}
        return f"{spec.kind}pool", {**config, "COUT": channels, **window}, shape
    others = {"global_pooling": "global-avgpool", "add": "add", "normalization": "bn"}
    kind = others.get(spec.op)
    return (kind, config, shape) if kind else None


def _kind_of_conv(entry: Entry, spec: ConvSpec) -> str | None:
    """Return the type of a convolution with what stands behind it, if nn-Meter has that."""
    if not _is_plain(spec, entry.unit):
        return None
    is_depthwise = spec.is_depthwise and spec.in_channels == spec.out_channels
    if spec.groups != 1 and not is_depthwise:
        return None
    behind = []
    for part in entry.unit.parts[1:]:
        if part[1].op == "normalization":
            behind.append("bn")
        elif isinstance(part[1], ActivationSpec) and part[1].kind in _BEHIND:
            behind.append(_BEHIND[part[1].kind])
        else:
            return None
    if entry.row.where and entry.row.where.with_norm:
        behind = ["bn", "relu"]
    kind = "-".join(["dwconv" if is_depthwise else "conv", *(behind or ["block"])])
    return kind if kind in KERNELS else None


# -- plain


@register_table_format(
    "plain", title="a plain table", meaning="CSV: what a layer is, and its latency in ms"
)
def plain(entries: Sequence[Entry]) -> Table:
    """Return one line for each row: its axes, its variant, its latency and the interval of that."""
    names = [name for name in AXES if any(one.row.of.get(name) is not None for one in entries)]
    lines = [",".join([*names, "variant", "latency_ms", "latency_low_ms", "latency_high_ms"])]
    for one in entries:
        of = [_cell(one.row.of.get(name)) for name in names]
        times = (one.mean_s, *(one.row.ci95_s or (None, None)))
        ms = ["" if each is None else f"{each * 1e3:.9g}" for each in times]
        lines.append(",".join([*of, one.unit.label, *ms]))
    return Table("\n".join(lines) + "\n", len(entries))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else _written(value)


# -- shapes


def _is_of_images(unit: Unit) -> bool:
    return len(unit.shape) == 2 + OF_IMAGES


def _is_plain(spec: ConvSpec, unit: Unit) -> bool:
    """Whether a convolution is told by kernel, stride and channels alone."""
    square = (spec.kernel_size, spec.stride, spec.dilation)
    padding = spec.padding
    keeps_size = padding == "same" or padding == tuple(k // 2 for k in spec.kernel_size)
    return (
        _is_of_images(unit)
        and not spec.transposed
        and all(len(set(values)) == 1 for values in square)
        and set(spec.dilation) == {1}
        and keeps_size
    )


def _output_shape(unit: Unit) -> Shape:
    return stage_operations(unit.parts, unit.shape)[-1].output_shape


def _in_order(shape: Shape) -> str:
    """Return height, width and channels of a shape `(B, C, H, W)`."""
    return "x".join(map(str, (*shape[2:], shape[1])))
