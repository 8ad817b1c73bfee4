"""The kinds of device that a sweep was timed on: how each is called, and what is of it.

Machines with the same processor, threads and versions are of one kind, and share a table.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dscost.notation.units import counted
from dscost.sweeping.records import Sweep, Where


class Kind(NamedTuple):
    """A kind of device.

    Args:
        device: Name of the processor.
        threads: How many are computed with.
        versions: Of what takes part, by package; empty where no other kind differs in nothing else.
    """

    device: str
    threads: int
    versions: tuple[tuple[str, str], ...] = ()


def kinds_of(places: Iterable[Where]) -> dict[str, Kind]:
    """Return the kinds that places are of, by a name as short as tells them apart.

    >>> [*kinds_of([Where("Xeon", 1), Where("Xeon", 1, "onnxruntime"), Where("Cortex-A72", 3)])]
    ['Xeon', 'Cortex-A72']
    >>> [*kinds_of([Where("Xeon", 1), Where("Xeon", 2)])]
    ['Xeon, 1 thread', 'Xeon, 2 threads']
    """
    places = list(places)
    found = dict.fromkeys(kind_of(where, places) for where in places)
    return {_name(kind, found): kind for kind in found}


def kind_of(where: Where, places: Sequence[Where]) -> Kind:
    """Return the kind of a place among all those of a sweep.

    Versions tell kinds apart only where one runtime has several of them on the same device.
    """
    beside = [one for one in places if (one.device, one.threads) == (where.device, where.threads)]
    versions: dict[str, Mapping[str, str]] = {}
    has_several = any(
        versions.setdefault(one.runtime, one.versions) != one.versions for one in beside
    )
    told = tuple(sorted(where.versions.items())) if has_several else ()
    return Kind(where.device, where.threads, told)


def _name(kind: Kind, kinds: Iterable[Kind]) -> str:
    beside = [one for one in kinds if one.device == kind.device]
    parts = [kind.device]
    if len({one.threads for one in beside}) > 1:
        parts.append(counted(kind.threads, "thread"))
    return ", ".join([*parts, *(f"{package} {version}" for package, version in kind.versions)])


def slug_of(name: str) -> str:
    """Return a name as a part of a file's.

    >>> slug_of("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz (AVX-512)")
    'intel-xeon-platinum-8481c-2-70ghz-avx-512'
    """
    plain = re.sub(r"\((R|TM|C)\)|\bCPU\b", " ", name, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-") or "unknown"


def by_kind(sweep: Sweep) -> Mapping[str, Sweep]:
    """Return what a sweep came to on each kind of device, by its name.

    A row that was not timed, such as that of a variant that a layer lacks, is of every kind.
    """
    places = {id(row.where): row.where for row in sweep.rows if row.where}
    kinds = kinds_of(places.values())
    own = {at: kind_of(where, [*places.values()]) for at, where in places.items()}
    found = {}
    for name, kind in kinds.items():
        rows = [row for row in sweep.rows if not row.where or own[id(row.where)] == kind]
        drift = tuple(one for one in sweep.drift if kind_of(one.where, [*places.values()]) == kind)
        sums = tuple(one for one in sweep.sums if kind_of(one.where, [*places.values()]) == kind)
        title = f"{sweep.title} on {name}"
        found[name] = sweep._replace(title=title, rows=rows, drift=drift, sums=sums)
    return found
