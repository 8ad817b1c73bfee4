"""Other tools that count, run on a torch module as their users run them.

Each takes a module, which it may change, and the arguments of its forward, and says what it counts:
in all, and by module as far as it tells. None is needed by anything else.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from fractions import Fraction
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from typing import TYPE_CHECKING, Any, NamedTuple

from dscost.conventions.records import KINDS, Kind
from dscost.errors import DscostError, InputError, UnavailableError, UnknownNameError, first_line
from dscost.foreign.parts import children_of, named_parts

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dscost.tracing import Arguments


class PeerCount(NamedTuple):
    """What a peer says of a module.

    Args:
        total: Its figure.
        own: What each module counts by itself, without its children, by path.
        batch: By how many inputs at once it has divided, where that is not what the first holds.
    """

    total: int
    own: Mapping[str, Fraction]
    batch: int | None = None


class Peer(NamedTuple):
    """A tool that counts.

    Args:
        requirement: What pip is told.
        run: Counts a module that is given to it for good.
        by_module: Of what it tells by module how much it counts.
    """

    requirement: str
    run: "Callable[[nn.Module, Arguments], PeerCount]"
    by_module: tuple[Kind, ...] = KINDS

    @property
    def package(self) -> str:
        """The name that it is installed by."""
        return self.requirement.partition("==")[0]


class PeerError(DscostError):
    """A peer could not count, and has said why by other means than an error."""


def find_peer(name: str) -> Peer:
    """Return a peer by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in PEERS:
        raise UnknownNameError("peer", name, list(PEERS))
    return PEERS[name]


def release_of(peer: Peer) -> str:
    """Return which release of a peer is installed.

    Raises:
        UnavailableError: None is, or it cannot be imported.
    """
    package = peer.package
    try:
        found = version(package)
    except PackageNotFoundError as error:
        told = f"{package} is not installed: pip install {peer.requirement}"
        raise UnavailableError(told) from error
    from dscost.foreign.logs import quietly
    from dscost.sources.mending import torchvision_mended

    try:
        with torchvision_mended(), quietly(("",)):
            import_module(package)
    except Exception as error:  # it imports what it likes, such as a torchvision of another torch
        raise UnavailableError(f"{package} cannot be imported: {first_line(error)}") from error
    return found


# -- arguments as they take them


def _by_place(model: "nn.Module", arguments: "Arguments") -> tuple[Any, ...]:
    """Return the arguments of a forward by place, as most peers take them alone.

    Raises:
        InputError: It has some that can only be given by name.
    """
    if not arguments.kwargs:
        return arguments.args
    bound = inspect.signature(model.forward).bind(*arguments.args, **arguments.kwargs)
    if bound.kwargs:
        names = ", ".join(bound.kwargs)
        raise InputError(
            f"it gives a model its inputs by place, and {names} is taken by name alone"
        )
    return bound.args


def _by_name(model: "nn.Module", arguments: "Arguments") -> "Tensor | dict[str, Any]":
    """Return a single tensor as it is, several arguments by their names.

    Raises:
        InputError: Some have no name.
    """
    if len(arguments.args) == 1 and not arguments.kwargs:
        tensor: Tensor = arguments.args[0]
        return tensor
    bound = inspect.signature(model.forward).bind(*arguments.args, **arguments.kwargs)
    several = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
    parameters = bound.signature.parameters
    if any(parameters[name].kind in several for name in bound.arguments):
        raise InputError(
            "it gives a model several inputs by name, and some are taken by place alone"
        )
    return {**dict(zip(parameters, bound.args, strict=False)), **bound.kwargs}


# -- the peers


def _fvcore(model: "nn.Module", arguments: "Arguments") -> PeerCount:
    from fvcore.nn import FlopCountAnalysis

    found = FlopCountAnalysis(model, _by_place(model, arguments))
    found.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    whole = {path: Fraction(count) for path, count in found.by_module().items()}
    own = dict(whole)
    for path, count in whole.items():
        if path:
            above = path.rpartition(".")[0]
            own[above] = own.get(above, Fraction()) - count
    return PeerCount(int(found.total()), own)


def _ptflops(model: "nn.Module", arguments: "Arguments") -> PeerCount:
    from ptflops import get_model_complexity_info

    given = _by_name(model, arguments)
    own: dict[str, Fraction] = {}
    first = {id(part): path for path, part in named_parts(model)}

    def keep(module: "nn.Module", *_: Any) -> None:  # what it counts there is gone when it is over
        for part in _counted_by_ptflops(module):
            count = Fraction(part.__dict__["__flops__"])
            own[first[id(part)]] = own.get(first[id(part)], Fraction()) + count

    model.register_forward_hook(keep)
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(StringIO()):
        total, _ = get_model_complexity_info(
            model,
            (1,),
            input_constructor=lambda _: given,
            as_strings=False,
            print_per_layer_stat=False,
            verbose=False,
            backend="pytorch",
        )
    if total is None:
        raise PeerError(_last_said(said.getvalue()))
    batch = 1 if isinstance(given, dict) else max(1, len(given))
    return PeerCount(total, {path: count / batch for path, count in own.items()}, batch)


def _counted_by_ptflops(module: "nn.Module") -> "Iterator[nn.Module]":
    """Yield the modules whose figures it adds up, a shared one at each of its places."""
    if "__flops__" in module.__dict__:
        yield module
        return
    for child in dict.fromkeys(filter(None, children_of(module).values())):
        yield from _counted_by_ptflops(child)


_RAISED = re.compile(r"<class '(?:\w+\.)*(\w+)'>: (.*)")


def _last_said(text: str) -> str:
    """Return the error that ptflops has printed where it should have raised it."""
    found = _RAISED.search(text)
    if found is not None:
        return f"{found[1]}: {found[2]}"
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it gives no figure"


def _thop(model: "nn.Module", arguments: "Arguments") -> PeerCount:
    import thop

    given = _by_place(model, arguments)
    first = {id(part): path for path, part in named_parts(model)}
    total, _, below = thop.profile(model, given, verbose=False, ret_layer_info=True)
    own: dict[str, Fraction] = {}

    def keep(module: "nn.Module", whole: float, parts: Mapping[str, Any]) -> None:
        path = first[id(module)]
        mine = Fraction(whole) - sum(Fraction(count) for count, *_ in parts.values())
        own[path] = own.get(path, Fraction()) + mine
        for name, (count, _, further) in parts.items():
            child = children_of(module)[name]
            assert child is not None
            keep(child, count, further)

    keep(model, total, below)
    return PeerCount(int(total), own)


def _torchinfo(model: "nn.Module", arguments: "Arguments") -> PeerCount:
    import torchinfo

    first = {id(part): path for path, part in named_parts(model)}
    given = list(arguments.args) if arguments.args else dict(arguments.kwargs)
    named = arguments.kwargs if arguments.args else {}
    found = torchinfo.summary(model, input_data=given, verbose=0, **named)
    own: dict[str, Fraction] = {}
    for layer in found.summary_list:
        if layer.is_leaf_layer:
            path = first[layer.layer_id]
            own[path] = own.get(path, Fraction()) + layer.macs
    return PeerCount(int(found.total_mult_adds), own)


PEERS: dict[str, Peer] = {
    "fvcore": Peer("fvcore==0.1.5.post20221221", _fvcore),
    "ptflops": Peer("ptflops==0.7.5", _ptflops, ("modules",)),
    "thop": Peer("thop==0.1.1.post2209072238", _thop),
    "torchinfo": Peer("torchinfo==1.8.0", _torchinfo),
}
"""By the name that they have on the command line, which is that of their conventions too."""
