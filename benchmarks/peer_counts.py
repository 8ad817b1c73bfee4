"""One tool counts one network of `peer_networks.py`, once, in a process of its own; `peers.py` starts it.

Each tool is asked by the entry that its documentation names, with its defaults, but told to print nothing. Prints a line of
JSON: what it says, and the seconds that imports, making the network, and counting took. What is counted by tools of torch
has been made before; those of ONNX files read the file while they count.

Run: `python benchmarks/peer_counts.py TOOL NETWORK [FILE.onnx] [--mend]`, or `export NETWORK FILE.onnx`.
"""

import contextlib
import io
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import peer_networks
from peer_networks import NETWORKS


class Told(NamedTuple):
    """What a tool says: in its own unit, and parameters where it counts any."""

    figure: int
    params: int | None = None


Shape = tuple[int, ...]
Count = Callable[[Any, Shape], Told]


# -- counters of torch modules: what they import, and what counts


def dscost() -> Count:
    import dscost

    def count(model: Any, shape: Shape) -> Told:
        cost = dscost.analyze(model, input=shape).totals.as_is
        return Told(cost.macs, cost.params)

    return count


def fvcore() -> Count:
    import torch
    from fvcore.nn import FlopCountAnalysis, parameter_count

    def count(model: Any, shape: Shape) -> Told:
        figure = FlopCountAnalysis(model, torch.zeros(shape)).total()
        return Told(int(figure), parameter_count(model)[""])

    return count


def torchinfo() -> Count:
    from torchinfo import summary

    def count(model: Any, shape: Shape) -> Told:
        found = summary(model, input_size=shape, verbose=0)
        return Told(int(found.total_mult_adds), found.total_params)

    return count


def _ptflops(backend: str) -> Count:
    from ptflops import get_model_complexity_info

    def count(model: Any, shape: Shape) -> Told:
        quiet = {"as_strings": False, "print_per_layer_stat": False, "verbose": False}
        figure, params = get_model_complexity_info(model, shape[1:], backend=backend, **quiet)
        if figure is None:
            raise RuntimeError("no figure")
        return Told(int(figure), int(params))

    return count


def thop() -> Count:
    import torch
    from thop import profile

    def count(model: Any, shape: Shape) -> Told:
        figure, params = profile(model, inputs=(torch.zeros(shape),), verbose=False)
        return Told(int(figure), int(params))

    return count


def calflops() -> Count:
    from calflops import calculate_flops

    def count(model: Any, shape: Shape) -> Told:
        quiet = {"output_as_string": False, "print_results": False, "print_detailed": False}
        _, figure, params = calculate_flops(model=model, input_shape=shape, **quiet)
        return Told(int(figure), int(params))

    return count


def torchprofile() -> Count:
    import torch
    from torchprofile import profile_macs

    return lambda model, shape: Told(int(profile_macs(model, torch.zeros(shape))))


def _flop_counter(device: str) -> Count:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def count(model: Any, shape: Shape) -> Told:
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(shape, device=device))
        return Told(int(counter.get_total_flops()))

    return count


OF_MODULES: Mapping[str, Callable[[], Count]] = {
    "dscost, library": dscost,
    "fvcore": fvcore,
    "torchinfo": torchinfo,
    "ptflops": lambda: _ptflops("pytorch"),
    "ptflops, aten": lambda: _ptflops("aten"),
    "thop": thop,
    "ultralytics-thop": thop,
    "calflops": calflops,
    "torchprofile": torchprofile,
    "FlopCounterMode": lambda: _flop_counter("cpu"),
    "FlopCounterMode, meta": lambda: _flop_counter("meta"),
}
ON_META = ("FlopCounterMode, meta",)
"""What is given a network without weights."""


# -- counters of ONNX files


def onnx_tool() -> Callable[[str], Told]:
    from onnx_tool import Model, NoMacsOps

    def count(path: str) -> Told:
        graph = Model(path, {"verbose": False}).graph  # as `onnx_tool.model_profile`, which prints
        graph.graph_reorder_nodes()
        graph.shape_infer(None)
        graph.profile(exclude_ops=NoMacsOps)
        return Told(int(graph.macs[0]), int(graph.params))

    return count


def onnxsim() -> Callable[[str], Told]:
    import onnx
    from onnxsim.model_info import ModelInfo

    return lambda path: Told(int(ModelInfo(onnx.load(path)).macs))


OF_FILES: Mapping[str, Callable[[], Callable[[str], Told]]] = {
    "onnx-tool": onnx_tool,
    "onnxsim": onnxsim,
}


# -- what is run


def counted(tool: str, network: str, file: str, *, mend: bool) -> dict[str, Any]:
    """Return what a tool says of a network, and how long it took."""
    began = time.perf_counter()
    if tool in OF_FILES:
        count_file = OF_FILES[tool]()
        imported = time.perf_counter()
        return _told(lambda: count_file(file), began, imported, imported)
    if mend:
        peer_networks.mend()
    make, count = peer_networks.made(network), OF_MODULES[tool]()
    import torch

    imported = time.perf_counter()
    with torch.device("meta") if tool in ON_META else contextlib.nullcontext():
        model = make()
    made = time.perf_counter()
    return _told(lambda: count(model, NETWORKS[network].shape), began, imported, made)


def _told(count: Callable[[], Told], began: float, imported: float, made: float) -> dict[str, Any]:
    told = count()
    done = time.perf_counter()
    times = {"import_s": imported - began, "make_s": made - imported, "count_s": done - made}
    return {**told._asdict(), **times}


def export(network: str, file: str) -> None:
    """Write a network as torch exports it by default, its weights inside."""
    import torch

    torch.backends.mha.set_fastpath_enabled(False)  # an operator of torch alone
    model, shape = peer_networks.made(network)(), NETWORKS[network].shape
    torch.onnx.export(
        model, (torch.zeros(shape),), file, dynamo=True, external_data=False, verbose=False
    )


def main(arguments: list[str]) -> None:
    """Count or export, and print what came of it."""
    mend = "--mend" in arguments
    tool, network, *files = [one for one in arguments if one != "--mend"]
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):  # some print whatever they are told
        if tool == "export":
            if mend:
                peer_networks.mend()
            export(network, files[0])
            told = {"bytes": Path(files[0]).stat().st_size}
        else:
            told = counted(tool, network, "".join(files), mend=mend)
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
