"""What other tools say of a model, held against what their rules say as dscost has them."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from dscost.analysis.peers import PEERS, Peer, PeerCount, find_peer, release_of
from dscost.analysis.targets import Request, with_arguments
from dscost.conventions import (
    Convention,
    convention_names,
    find_convention,
    functions_of,
    tally,
)
from dscost.errors import DscostError, InputError, first_line
from dscost.reports.result import Result
from dscost.timing import Progress

if TYPE_CHECKING:
    from dscost.sources import ModuleSource, Source
    from dscost.tracing import Arguments, Trace


class PeerDifference(NamedTuple):
    """A module of which a peer says something else than its rules as dscost has them.

    Args:
        module: Its path; empty for the whole, or for what is told of no module.
        type: Class name.
        ours: What it counts by the rules, without its children.
        theirs: What the peer says.
    """

    module: str
    type: str
    ours: int | float
    theirs: int | float

    @property
    def is_of_no_module(self) -> bool:
        """Whether it is what is left of the whole difference once all modules are told."""
        return not self.module and not self.type


class AgainstPeer(NamedTuple):
    """What one peer says of a model.

    Args:
        peer: Its name.
        release: Which is installed.
        convention: By whose rules it is held against.
        counts: What it calls its figure.
        ours: Its figure by these rules.
        theirs: Its figure; `None` where it cannot count the model.
        failure: Why it cannot.
        differences: Where the two differ, as far as it tells by module.
    """

    peer: str
    release: str
    convention: str
    counts: str
    ours: int
    theirs: int | None
    failure: str = ""
    differences: tuple[PeerDifference, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether the peer says what its rules say."""
        return self.ours == self.theirs

    @property
    def is_of_other_release(self) -> bool:
        """Whether the rules are those of another release than the one that is installed."""
        return not _is_of(self.convention, self.release)


class PeerVerification(Result):
    """What peers say of a model.

    Args:
        target: What was counted.
        macs: MACs by our tracer.
        against: What each of the peers says.
        notes: What the reader must know.
    """

    target: str
    macs: int
    against: tuple[AgainstPeer, ...]
    notes: tuple[str, ...]

    def in_a_line(self) -> str:
        """Return our figure and theirs."""
        said = (
            f"{one.peer} {'nothing' if one.theirs is None else f'{one.theirs:,}'}"
            for one in self.against
        )
        return f"{self.target}: {self.macs:,} MACs, {', '.join(said)}"

    @property
    def agrees(self) -> bool:
        """Whether every peer says what its rules say."""
        return all(one.agrees for one in self.against)

    @property
    def differs(self) -> bool:
        """Whether a peer says something else than its rules."""
        return any(one.theirs is not None and not one.agrees for one in self.against)

    @property
    def partial(self) -> tuple[str, ...]:
        """Which peers could not count the model, and why."""
        return tuple(f"{one.peer}: {one.failure}" for one in self.against if one.theirs is None)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        against = [
            {**one._asdict(), "differences": [found._asdict() for found in one.differences]}
            for one in self.against
        ]
        return {
            "target": self.target,
            "agrees": self.agrees,
            "partial": list(self.partial),
            "macs": self.macs,
            "against": against,
            "notes": list(self.notes),
        }


def verify_against(
    found: "Source",
    request: Request,
    name: str,
    names: Sequence[str],
    progress: Progress | None = None,
) -> PeerVerification:
    """Run peers on a model, and hold what they say against their rules.

    Args:
        found: The model.
        request: On what it is counted.
        name: What the user calls it.
        names: Of peers, or of their conventions.
        progress: Called with what is being done.

    Raises:
        InputError: There is no such peer, or the target is none of torch, or cannot be run.
        UnavailableError: A peer is not installed.
    """
    from dscost.sources import GraphSource
    from dscost.tracing import trace

    chosen = [_chosen(one) for one in dict.fromkeys(names)]
    if isinstance(found, GraphSource):
        raise InputError(f"{name} is an ONNX file: peers count models of torch, and read none")
    source, arguments = with_arguments(found, name, request)
    if source.kind == "export":
        why = "it holds operators, not the modules that peers count: give the model itself"
        raise InputError(f"{name} is an exported program: {why}")
    say = progress or (lambda share, doing: None)
    with source.importing():
        say(None, f"tracing {name}")
        functions = functions_of(one.convention for one in chosen)
        traced = trace(source.module, arguments, make_real=source.make_real, functions=functions)
        if traced.why_unseen:
            raise InputError(f"{name} cannot be held against rules: {traced.why_unseen}")
        against = []
        for one in chosen:
            say(None, f"counting {name} with {one.name}")
            against.append(_held(one, source, arguments, traced))
    return PeerVerification(
        target=name,
        macs=sum(event.macs for event in traced.events),
        against=tuple(against),
        notes=(*source.notes, *traced.notes, *_releases(against)),
    )


def _releases(against: Sequence[AgainstPeer]) -> Iterator[str]:
    for one in against:
        if one.is_of_other_release:
            yield f"{one.peer} {one.release} is installed, the rules are those of {one.convention}."


class _Chosen(NamedTuple):
    """A peer that is installed, and the rules that it is held against."""

    name: str
    peer: Peer
    release: str
    convention: Convention


def _chosen(given: str) -> _Chosen:
    """Return a peer by its name, or by that of a convention of it.

    Its rules are those of the release that is installed, or the newest that there are.
    """
    name = given.partition("-")[0]
    if name not in PEERS and given in convention_names():
        raise InputError(f"{given} has rules alone: no tool is known that could be run for it")
    peer = find_peer(name if name in PEERS else given)
    release = release_of(peer)
    if name != given:
        return _Chosen(name, peer, release, find_convention(given))
    known = [one for one in convention_names() if one.partition("-")[0] == name]
    fitting = [one for one in known if _is_of(one, release)]
    return _Chosen(name, peer, release, find_convention((fitting or known or [name])[-1]))


def _is_of(convention: str, release: str) -> bool:
    wanted = convention.partition("-")[2]
    return release.startswith(wanted) and not release[len(wanted) :][:1].isalnum()


def _held(
    one: _Chosen, source: "ModuleSource", arguments: "Arguments", traced: "Trace"
) -> AgainstPeer:
    """Run a peer, and hold what it says against its rules."""
    convention = one.convention
    theirs, failure = None, ""
    try:
        theirs = _said_by(one.peer, source, arguments)
    except _Failed as error:
        failure = str(error)
    first = next((tensor for tensor in arguments.tensors if tensor.dim()), None)
    batch = 1 if first is None else int(first.shape[0])
    if theirs is not None and theirs.batch is not None:
        batch = theirs.batch
    ours = tally(convention, traced.seen, batch=batch).total
    result = AgainstPeer(one.name, one.release, convention.key, convention.counts, ours, None)
    if theirs is None:
        return result._replace(failure=failure)
    result = result._replace(theirs=theirs.total)
    if result.agrees:
        return result
    told = [call for call in traced.seen if call.kind in one.peer.by_module]
    mine = tally(convention, told, batch=batch).by_layer
    left = theirs.total - ours
    return result._replace(differences=tuple(_differences(mine, theirs.own, traced.types, left)))


def _differences(
    ours: Mapping[str, int | Fraction],
    theirs: Mapping[str, Fraction],
    types: Mapping[str, str],
    left: int,
) -> Iterator[PeerDifference]:
    """Yield the modules on which the two differ, and what is left then of the whole difference."""
    nothing = Fraction()
    rest = Fraction(left)
    for path in [*types, *(path for path in theirs if path not in types)]:
        mine, its = ours.get(path, nothing), theirs.get(path, nothing)
        if mine != its:
            rest -= its - mine
            yield PeerDifference(path, types.get(path, ""), _plain(mine), _plain(its))
    if abs(rest) >= 1:
        yield PeerDifference("", "", 0, _plain(rest))


def _plain(count: int | Fraction) -> int | float:
    return int(count) if count.denominator == 1 else float(count)


class _Failed(Exception):
    """A peer cannot count a model; the text says why."""


def _said_by(peer: Peer, source: "ModuleSource", arguments: "Arguments") -> PeerCount:
    """Return what a peer says of a copy of a model, in evaluation mode, with gradients on."""
    import torch

    from dscost.foreign.failures import is_interrupt
    from dscost.foreign.logs import quietly, silent_output
    from dscost.foreign.parts import set_training, unwrapped
    from dscost.foreign.randomness import SEED, states_kept
    from dscost.foreign.unpatched import functions_kept
    from dscost.tracing import one_at_a_time
    from dscost.tracing.calling import nothing_compiles
    from dscost.tracing.real_copies import check_memory, real_copy

    check_memory(source.module)
    make_real = source.make_real or partial(real_copy, unwrapped(source.module))
    with one_at_a_time(), states_kept(), nothing_compiles(), functions_kept():
        torch.manual_seed(SEED)
        model = unwrapped(make_real())
        set_training(model, False)
        try:
            with torch.enable_grad(), quietly(("",)), silent_output():
                return peer.run(model, arguments.on("cpu"))
        except BaseException as error:  # code of the peer, of any release, and that of the model
            if is_interrupt(error):
                raise
            told = str(error) if isinstance(error, DscostError) else first_line(error)
            raise _Failed(told) from error
