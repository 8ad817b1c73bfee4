"""Many names of layers in few words: `stage1–3.*, wide`."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

ANY = "*"
"""The last part of a name that stands for all that stand below the parts before it."""
DOT, SLASH = ".", "/"


def as_shown(names: Sequence[str]) -> list[str]:
    """Return names as tables have them: the first stands for all that tf2onnx joins by `;`.

    Where two would look alike, both stay whole.

    >>> as_shown(["m/relu;m/relu", "conv", "a;b", "a;c"])
    ['m/relu', 'conv', 'a;b', 'a;c']
    """
    short = [_one_of(name) for name in names]
    seen = Counter(short)
    return [
        one if seen[one] == 1 or one == name else name
        for one, name in zip(short, names, strict=True)
    ]


def _one_of(name: str) -> str:
    first, *others = name.split(";")
    return first + ";…" * any(one != first for one in others) if first else name


def as_spelt(path: str, name: str) -> str:
    """Return the path of a module as it stands in the name of a node of it, slashes and all.

    >>> as_spelt("layer1.0", "/layer1/layer1.0/conv1/Conv"), as_spelt("a.b", "a/b/Conv")
    ('/layer1/layer1.0', 'a/b')
    >>> as_spelt("layer1.0", "node_conv2d_1")
    'layer1.0'
    """
    parts = name.split(SLASH)
    told = last = ""
    for at, part in enumerate(parts[:-1]):
        if told and part.startswith(f"{last}{DOT}"):  # a part may have the one before it in it
            told += part[len(last) :]
        else:
            told = f"{told}{DOT}{part}" if told else part
        last = part
        if told == path:
            return SLASH.join(parts[: at + 1])
    return path


def in_few_words(chosen: Collection[str], every: Sequence[str]) -> list[str]:
    """Return patterns that stand for the chosen names, and for no other of them all.

    `a.*` is every name below `a`; `a1–3.b` is `a1.b`, `a2.b` and `a3.b`.

    Args:
        chosen: Dotted names; where there are slashes, as in ONNX files, these part them.
        every: All names that there are, in the order in which patterns come.

    >>> every = ["a.0", "a.1", "b1.x", "b1.y", "b2.x", "b2.y"]
    >>> in_few_words(["a.0", "b1.x", "b1.y", "b2.x", "b2.y"], every)
    ['a.0', 'b1–2.*']
    >>> in_few_words(["/a/a.0/Conv", "/a/a.1/Conv"], ["/a/a.0/Conv", "/a/a.1/Conv", "/b/Conv"])
    ['/a/*']
    """
    wanted, seen = set(chosen), set()
    dot = SLASH if any(SLASH in name for name in every) else DOT
    paths: list[tuple[str, ...]] = []
    for name in every:
        if name in wanted:
            path = _shortest(name, wanted, every, dot)
            if path not in seen:
                seen.add(path)
                paths.append(path)
    return [dot.join(path) for path in _ranges(paths)]


def _shortest(
    name: str, wanted: Collection[str], every: Sequence[str], dot: str
) -> tuple[str, ...]:
    """Return the fewest parts of a name below which all names are wanted, and more than one."""
    parts = tuple(name.split(dot))
    for length in range(2 if name.startswith(dot) else 1, len(parts)):
        above = dot.join(parts[:length])
        below = [one for one in every if one.startswith(above + dot)]
        if len(below) > 1 and above not in every and all(one in wanted for one in below):
            return (*parts[:length], ANY)
    return parts


def _ranges(paths: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Yield neighbours that differ in one number of one part, by steps of one, as one."""
    rest = list(paths)
    while rest:
        first = rest.pop(0)
        best = [first]
        place = -1
        for at in range(len(first)):
            run = _run(first, rest, at)
            if len(run) > len(best):
                best, place = run, at
        for one in best[1:]:
            rest.remove(one)
        yield first if place < 0 else _joined(first, best[-1], place)


def _run(
    first: tuple[str, ...], others: Sequence[tuple[str, ...]], at: int
) -> list[tuple[str, ...]]:
    """Return the paths that follow the first one, each a step further in one of its parts."""
    run = [first]
    stem, number = _numbered(first[at])
    while number is not None:
        number += 1
        following = (*first[:at], f"{stem}{number}", *first[at + 1 :])
        if following not in others:
            break
        run.append(following)
    return run


def _joined(first: tuple[str, ...], last: tuple[str, ...], at: int) -> tuple[str, ...]:
    _, number = _numbered(last[at])
    return (*first[:at], f"{first[at]}–{number}", *first[at + 1 :])


def _numbered(part: str) -> tuple[str, int | None]:
    """Return a part of a name without the number that it ends in, and that number.

    >>> _numbered("layer12"), _numbered("conv"), _numbered("b007")
    (('layer', 12), ('conv', None), ('b00', 7))
    """
    found = _NUMBER.search(part)
    return (part[: found.start()], int(found[0])) if found else (part, None)


_NUMBER = re.compile(r"(?:0|[1-9][0-9]*)\Z")
"""What a name ends in, without zeros before it."""
