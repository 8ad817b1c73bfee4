"""A target → the same model depthwise-separable, with its plan and what came of it. No torch."""

from os import PathLike
from typing import TYPE_CHECKING, Any

from dscost.analysis import AS_STATED, Request
from dscost.converting.asking import (
    Asked,
    Fastest,
    check_arguments,
    check_goal,
    check_one_way,
    require_onnx,
    usual_order,
)
from dscost.converting.choosing import parse_goal
from dscost.converting.decisions import orders_of
from dscost.converting.plan_file import Planning, plan_of
from dscost.converting.results import Conversion
from dscost.converting.scoring.asking import Scorer
from dscost.errors import InputError
from dscost.layers.orders import DEPTHWISE_FIRST
from dscost.runtimes import TORCH
from dscost.sources import is_graph
from dscost.timing import Progress, TimingOptions

if TYPE_CHECKING:
    from dscost.converting.loading import Target
    from dscost.converting.of_graphs import ConvertedGraph
    from dscost.converting.reporting import ConvertedModel
    from dscost.converting.sites import Where


def convert(
    target: "Target",
    input: Any = None,
    *,
    rank: int = 1,
    order: str = DEPTHWISE_FIRST,
    method: str = "svd",
    where: "Where" = None,
    plan: Planning | None = None,
    min_channels: int | None = None,
    fastest: Fastest = False,
    runtime: str = TORCH,
    calibrate: Any = None,
    trust: bool = False,
) -> Any:
    """Return a copy of a model with its convolutions made depthwise-separable, as near as can be.

    Each becomes a `dscost.nn.DepthwiseSeparableConv2d` (1d, 3d), or pointwise-first a
    `dscost.nn.BlueprintSeparableConv2d`, on its device, of its dtype, layout, mode and need of
    gradients, with the hooks of its forward. A module that the model holds
    more than once is converted once; weights that modules share stay shared. Transposed, 1×1 and
    depthwise convolutions stay as they are. So does one that does more than pad and convolve, in
    its class, a patched forward or a hook that would do something else to what takes its place; and
    one of which the model reads what a replacement has not, such as its weights. `conversion` has
    the reasons.

    At full rank the model returns what it did: with an input, copies of both are run on it and
    compared, in the mode of inference; on random values if only a shape is given, unless it is
    large. Without an input they are run on what the model states (`example_input_array`,
    `dummy_inputs`) or on what its first layer takes, if that works.

    Of an ONNX file an `onnx.ModelProto` is returned, made without torch: every such `Conv` is two,
    all else is as it was. Weights are those nearest to the ones in the file, whatever the input;
    at full rank it is seen to return what it did, by ONNX Runtime if that is installed. What is
    said of modules is meant of nodes.

    Args:
        target: An `nn.Module`, which is left as it is; of torch.compile's wrapper, what it wraps is
            converted. Or any target of the command line, made with the initial weights that the
            command gives it.
        input: As `dscost.analyze` takes it: a shape, for costs; or tensors, whose values the
            weights are fitted to as well. For several inputs to fit to, something to iterate over
            that is no list: a generator, or a `torch.utils.data.DataLoader`; of its batches of
            images and labels the first entry is taken, where the forward takes that and not all of
            them. By default that of the plan, or what the target states; a module states none.
        rank: T, the spatial filters per input channel. At `min(Kh·Kw, N/G)` a layer is reproduced;
            more means that.
        order: `depthwise-first`; or `pointwise-first`, with T filters per output channel behind the
            1×1 convolution, which then runs at the size of the input and reproduces a layer at
            `min(Kh·Kw, M/G)`; or `best`: of every layer the one whose error is smaller at its rank.
        method: `svd` for the best weights in the Frobenius norm, or `random` for initial ones,
            drawn from torch's random state, which is left as it is.
        where: Names of layers, globs such as `"layer1.*"`, a list of them, or a function of name
            and module; all layers if nothing is given.
        plan: What to do by layer: a `Plan`, ranks such as 2 or `"2 pointwise-first"`, or `"keep"`
            by name, or the path of a plan file;
            a layer that it does not name is kept. In place of `rank`, `order`, `where` and
            `min_channels`.
        min_channels: A convolution of fewer channels in or out is left alone; by default of fewer
            than 32, or of what a report was made with.
        fastest: Whether to convert just the layers that run faster converted, measured now on the
            input; or a timed report, or the path of a saved one, that tells which those are.
        runtime: What runs what is measured now, of `dscost list runtimes`.
        calibrate: Inputs to recover the converted model by, without labels: weights of its layers
            are refitted, one after the other, to what the layers returned before, then the
            statistics of BatchNorm are re-estimated. A folder of images, the path of an `.npy` or
            `.npz`, or `file.py:batches`; or arrays or tensors, or what gives one batch after the
            other, such as a list or a `torch.utils.data.DataLoader`. At most 256 are taken.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.

    Raises:
        InputError: An argument is wrong, weights or what layers see are missing or not finite, or
            the model cannot be copied or run; or it would do something else once converted,
            whatever the rank, or run a convolution as before, since it holds one where a copy
            cannot replace it, as in a closure.
        UnavailableError: A target needs a library that is not installed.

    >>> from torch import nn
    >>> model = nn.Conv2d(64, 64, 3, padding=1, bias=False)
    >>> sum(weight.numel() for weight in convert(model).parameters()) == 64 * 9 + 64 * 64
    True
    """
    return conversion(
        target,
        input,
        rank=rank,
        order=order,
        method=method,
        where=where,
        plan=plan,
        min_channels=min_channels,
        fastest=fastest,
        runtime=runtime,
        calibrate=calibrate,
        trust=trust,
    ).module


def conversion(
    target: "Target",
    input: Any = None,
    *,
    rank: int = 1,
    order: str = DEPTHWISE_FIRST,
    method: str = "svd",
    where: "Where" = None,
    plan: Planning | None = None,
    min_channels: int | None = None,
    fastest: Fastest = False,
    runtime: str = TORCH,
    calibrate: Any = None,
    trust: bool = False,
) -> Conversion:
    """Return what `convert` does, with what became of each convolution: its error and costs.

    Args:
        target: An `nn.Module`, which is left as it is, or any target of the command line; this and
            all below as of `convert`.
        input: A shape, tensors, or something that gives several; of a module without it costs are
            unknown, but for params.
        rank: T, the spatial filters per input channel.
        order: `depthwise-first`, `pointwise-first`, or `best` of every layer.
        method: `svd` for the best weights, or `random` for initial ones.
        where: Names of layers, globs, a list of them, or a function of name and module.
        plan: What to do by layer, in place of `rank`, `order`, `where` and `min_channels`.
        min_channels: A convolution of fewer channels in or out is left alone; by default of fewer
            than 32, or of what a report was made with.
        fastest: Whether to convert just what runs faster converted, or a timed report that tells.
        runtime: What runs what is measured now, of `dscost list runtimes`.
        calibrate: Inputs to recover the converted model by; what each step gained is told.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.

    Raises:
        InputError: An argument is wrong, or the model cannot be converted; `convert` lists how.
        UnavailableError: A target needs a library that is not installed.
    """
    check_arguments(target, rank, method, where, plan, fastest, order)
    if runtime != TORCH and fastest is not True:
        raise InputError("runtime is for fastest=True: nothing else is measured")
    given = None if plan is None else plan_of(plan)
    timing = TimingOptions(runtimes=(runtime,))
    if calibrate is not None and method == "random":
        raise InputError("calibrate refits weights of svd: method='random' is for training anew")
    asked = Asked(
        None,
        rank,
        given,
        fastest,
        where,
        min_channels,
        timing,
        orders=orders_of(order),
        calibrate=calibrate,
    )
    request = Request(input, trust=trust)
    if is_graph(target):
        require_onnx()
        from dscost.converting import of_graphs

        return of_graphs.conversion_of(str(target), request, asked, method)
    from dscost.converting import of_modules

    return of_modules.conversion_of(target, request, asked, method)


def convert_target(
    target: "Target",
    request: Request = AS_STATED,
    *,
    goal: str | None = None,
    rank: int | None = None,
    order: str | None = None,
    plan: Planning | None = None,
    where: "Where" = None,
    min_channels: int | None = None,
    weights: str | PathLike[str] | None = None,
    ignore_extra: bool = False,
    timing: TimingOptions | None = None,
    fastest: Fastest = False,
    calibrate: Any = None,
    every_layer: bool = False,
    progress: Progress | None = None,
    scorer: Scorer | None = None,
) -> "ConvertedModel | ConvertedGraph":
    """Return a target depthwise-separable: by a goal, a plan, what pays, or all at one rank.

    Args:
        target: As of `plan`, as are `goal`, `where`, `min_channels` and `weights`.
        request: Without an input it is that of the plan, or what the target states.
        goal: What to reach.
        rank: T of every layer; 1 where neither a goal nor a plan is given.
        order: As of `plan`; at a rank `best` is of every layer the one whose error is smaller.
        plan: What to do by layer, or a file that says it.
        where: Which layers.
        min_channels: The fewest channels of those.
        weights: A file of them.
        ignore_extra: Whether weights that the target does not have are left out.
        timing: How to measure, for a goal of latency or what is fastest; its seed is that of random
            weights.
        fastest: Whether to convert just what measures faster; or a timed report that tells.
        calibrate: Inputs to recover the converted model by, as of `convert`.
        every_layer: Whether tables show the layers that could not be converted one by one.
        progress: Told what is done.
        scorer: What is asked of a score, if one is to decide, or to be told.

    Raises:
        InputError: Something that was given is wrong.
        UnavailableError: Something that is needed is not installed, or cannot be timed.
    """
    way = {"goal": goal, "rank": rank, "plan": plan, "fastest": fastest or None}
    orders = orders_of(order or usual_order(scorer if rank is None else None))
    check_one_way(way, where=where, min_channels=min_channels, order=order)
    wanted = None if goal is None else parse_goal(goal)
    given = None if plan is None else plan_of(plan)
    timing = timing or TimingOptions()
    asked = Asked(wanted, rank, given, fastest, where, min_channels, timing, progress, orders)
    asked = asked._replace(calibrate=calibrate, scorer=scorer)
    check_goal(wanted, asked)
    if is_graph(target):
        require_onnx()
        from dscost.converting import of_graphs

        return of_graphs.converted(str(target), request, asked, weights, every_layer=every_layer)
    from dscost.converting import of_modules

    return of_modules.converted(
        target,
        request,
        asked,
        weights=weights,
        ignore_extra=ignore_extra,
        every_layer=every_layer,
    )
