"""Sweeps: where a variant becomes faster, and what of the promise of the MACs arrives."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from math import sqrt

from dscost.notation.units import counted, format_factor
from dscost.pages.measuring_words import noise_under
from dscost.pages.pictures.picture import (
    Cell,
    Contour,
    Grid,
    NotDrawn,
    Picture,
    Plot,
    Point,
    Series,
    Tint,
)
from dscost.pages.pictures.promises import left_out, promise_of, promise_plot, why_none
from dscost.pages.pictures.short import short
from dscost.pages.runs import title_of
from dscost.pages.sweep_maps import (
    Map,
    blocks_of,
    cell_of,
    laid_out,
    map_of,
    notes_of,
    short_factor,
)
from dscost.pages.sweep_words import (
    base_of,
    cell_words,
    header_of,
    place_words,
    variant_title,
)
from dscost.pages.wording import format_speedup
from dscost.sweeping.answers import by_place, reduction_of, varying_axes
from dscost.sweeping.pooling import place_key
from dscost.sweeping.records import Row, Sweep, Where

NOT_TIMED = "nothing was timed: add --time, or time=True from Python"
MOST_MAPS = 6
"""More blocks and places are not drawn."""
MOST_POINTS = 150
"""Of more rows some have a point: each of 150 with its interval takes a kilobyte at most."""
MOST_SERIES = 6
"""Series of more variants and places would share their shapes."""
MOST_WORDS = 120
"""Characters that say which layer a row is of."""
TOO_MANY = "its rows are too many to be held: sweep fewer layers"
APART = 1.5
"""Gains of a map of which the largest is so many times the least have two tints."""
TINTS: Mapping[str, Tint] = {
    "faster": "better",
    "slower": "worse",
    "same": "even",
    "unclear": "unclear",
}
_TIMED: Mapping[Tint, str] = {
    "better": "faster",
    "worse": "slower (!)",
    "even": "no difference (=)",
    "unclear": "unclear (?)",
}
_COUNTED: Mapping[Tint, str] = {
    "better": "fewer MACs",
    "worse": "more MACs (!)",
    "even": "as many (=)",
}


def sweep_pictures(sweep: Sweep) -> list[Picture | NotDrawn]:
    """Return the maps of a sweep, `crossover`, `crossover-2`, …, and its promise."""
    if sweep.spreads:
        return [NotDrawn("crossover", TOO_MANY), NotDrawn("promise", TOO_MANY)]
    return [*_crossovers(sweep), _promise(sweep)]


# -- maps


def _crossovers(sweep: Sweep) -> Iterator[Picture | NotDrawn]:
    places = by_place(sweep.rows)
    grids = [
        _grid(found, title, rows, where, varying_axes(own), several=len(places) > 1)
        for where, own in places
        if (found := map_of(own, varying_axes(own)))
        for title, rows in blocks_of(found)
    ]
    if not grids:
        yield NotDrawn(
            "crossover",
            "no two of its layers differ in one thing alone: sweep one or two axes, "
            "as in --cin 8:64:8 --size 7,14,28",
        )
    hidden = len(grids) - MOST_MAPS
    for at, grid in enumerate(grids[:MOST_MAPS], 1):
        is_last = at == MOST_MAPS and hidden > 0
        more = [f"{counted(hidden, 'map')} more of this kind: a file holds every cell."]
        yield grid._replace(
            name="crossover" if at == 1 else f"crossover-{at}",
            notes=[*grid.notes, *(more if is_last else [])],
        )


def _grid(
    found: Map,
    title: str,
    rows: Sequence[Row],
    where: Where | None,
    varying: Sequence[str],
    *,
    several: bool,
) -> Grid:
    laid = laid_out(found, rows)
    drawn = {
        (laid.across.index(across), laid.down.index(down)): row
        for (down, across), row in laid.cells.items()
        if across in laid.across and down in laid.down
    }
    step = _step_of([*drawn.values()])
    cells = [
        Cell(
            *(column, row, _value(one), _text(one), _tint(one, step)),
            tells=_tells(one, varying, found.base),
        )
        for (column, row), one in sorted(drawn.items())
    ]
    meanings = _meanings(_TIMED if found.is_timed else _COUNTED, step)
    of = f" ({title_of(where.runtime)})" if several and where else ""
    return Grid(
        name="crossover",
        title=f"{title}{of}",
        told=_told(cells, title, meanings),
        across=header_of(found.across) if found.across else "variant",
        columns=laid.across,
        down="→".join(map(header_of, found.down)),
        rows=laid.down,
        cells=cells,
        contours=_contours(found, rows),
        meanings=meanings,
        notes=notes_of(found),
        measured=_measured(where, rows) if where else "",
    )


def _value(row: Row) -> float | None:
    """Return what stands in a cell; `None` where the clock tells nothing of it."""
    if row.speedup:
        return None if row.speedup.is_wide else row.speedup.median
    return None if row.where or not row.reduction else row.reduction.macs


def _text(row: Row) -> str:
    """Return what the table says."""
    return str(cell_of(row))


def _meanings(known: Mapping[Tint, str], step: float | None) -> Mapping[Tint, str]:
    """Return what tints mean, with that of large gains first where a map has any."""
    if step is None:
        return known
    return {"best": f"{known['better']}, {short_factor(step)} or more", **known}


def _step_of(rows: Sequence[Row]) -> float | None:
    """Return from which gain on one is large for its map; `None` where gains are much alike.

    That is the middle of the least and the largest gain, as a factor.
    """
    gains = [value for row in rows if _tint(row) == "better" and (value := _value(row))]
    if not gains or max(gains) < APART * min(gains):
        return None
    return float(f"{sqrt(min(gains) * max(gains)):.2g}")


def _tint(row: Row, step: float | None = None) -> Tint:
    factor = _value(row)
    if row.speedup:
        tint = TINTS[row.speedup.verdict]
    elif factor is None:
        return "none"
    else:
        tint = "even" if factor == 1 else "better" if factor > 1 else "worse"
    return "best" if tint == "better" and step and factor and factor >= step else tint


def _tells(row: Row, varying: Sequence[str], base: str) -> str:
    of = short(f"{cell_words(row, varying)}, {variant_title(row.variant)}", MOST_WORDS)
    if row.speedup:
        return f"{of}: {format_speedup(row.speedup)}."
    factor = _value(row)
    if factor is not None:
        return f"{of}: {format_factor(factor)} fewer MACs than {base}."
    return f"{of}: {row.note or 'not timed'}."


def _contours(found: Map, rows: Sequence[Row]) -> list[Contour]:
    """Return where a variant is as fast, and where it is faster by more than noise explains.

    Every layer has a noise floor of its own; beyond the largest of them none explains it.
    """
    if not found.is_timed:
        return [Contour(1.0, "as many MACs, 1.00×")]
    floors = {row.speedup.noise_floor for row in rows if row.speedup}
    floor = 1 + max(floors, default=0.0)
    which = "the largest noise floor" if len(floors) > 1 else "the noise floor"
    return [
        Contour(1.0, "as fast, 1.00×"),
        Contour(floor, f"{which}, {floor:.2f}×", is_fine=True),
    ]


def _told(cells: Sequence[Cell], title: str, meanings: Mapping[Tint, str]) -> str:
    tints = [cell.tint for cell in cells]
    counts = [
        f"{tints.count(tint)} {meaning.partition(' (')[0]}"
        for tint, meaning in meanings.items()
        if tint in tints
    ]
    return f"{title}. Of {counted(len(cells), 'cell')}: {', '.join(counts) or 'none known'}."


def _measured(where: Where, rows: Sequence[Row]) -> str:
    """Return where rows were timed, and which differences are noise there, where many are."""
    floors = [row.speedup.noise_floor for row in rows if row.speedup]
    return f"{place_words(where, with_version=True)}{noise_under(max(floors, default=0.0))}"


# -- the promise


def _promise(sweep: Sweep) -> Plot | NotDrawn:
    timed = [row for row in sweep.rows if row.speedup and row.reduction]
    if not timed:
        return NotDrawn("promise", NOT_TIMED)
    varying = varying_axes(timed)
    missing = [
        (
            f"{cell_words(row, varying)}, {variant_title(row.variant)}",
            why_none(row.reduction and row.reduction.macs, row.speedup),
        )
        for row in timed
        if row.speedup
    ]
    told = [row for row in timed if _point(row)]
    if not told:
        return NotDrawn(
            "promise", "the clock cannot tell how fast anything is: use a quieter machine"
        )
    shown = _thinned(told)
    notes = left_out(missing)
    if len(shown) < len(told):
        notes.append(
            f"Drawn are {len(shown)} of {len(told):,} rows, evenly by how many fewer MACs they "
            "have, the fastest and the slowest among them."
        )
    places = [where for where, _ in by_place(told) if where]
    return promise_plot(
        f"{short(sweep.title)}: promise against clock"
        + (f", {title_of(places[0].runtime)}" if len(places) == 1 else ""),
        _series_of(shown, places),
        than=base_of(sweep.rows),
        notes=notes,
        measured="; ".join(_measured(where, own) for where, own in by_place(told) if where),
    )


def _thinned(rows: Sequence[Row]) -> list[Row]:
    """Return as many rows as have room, evenly by their MACs, with the extremes of the clock."""
    if len(rows) <= MOST_POINTS:
        return list(rows)
    order = sorted(range(len(rows)), key=lambda at: (reduction_of(rows[at]), _median(rows[at]), at))
    last = len(order) - 1
    kept = {order[round(at * last / (MOST_POINTS - 3))] for at in range(MOST_POINTS - 2)}
    every = range(len(rows))
    kept |= {
        min(every, key=lambda at: _median(rows[at])),
        max(every, key=lambda at: _median(rows[at])),
    }
    return [rows[at] for at in sorted(kept)]


def _point(row: Row, name: str = "", said: str = "") -> Point | None:
    """Return the point of a row; `None` where the clock or the MACs tell nothing of it."""
    if row.speedup is None or row.reduction is None:
        return None
    return promise_of(row.reduction.macs, row.speedup, name, said)


def _median(row: Row) -> float:
    return row.speedup.median if row.speedup else 1.0


def _series_of(rows: Sequence[Row], places: Sequence[Where]) -> list[Series]:
    """Return the points by variant and place; of too many of both by place alone."""
    variants = {row.variant for row in rows}
    with_variant = len(variants) * max(1, len(places)) <= MOST_SERIES
    varying = varying_axes(rows)
    named = {id(min(rows, key=_median)), id(max(rows, key=_median))}
    titles = _titles(places)
    groups: dict[str, list[Point]] = {}
    for row in rows:
        place = titles[place_key(row.where)] if len(places) > 1 else ""
        variant = variant_title(row.variant) if with_variant and len(variants) > 1 else ""
        of = short(cell_words(row, varying), MOST_WORDS)
        said = f"{of}, {variant_title(row.variant)}"
        name = of if id(row) in named else ""
        point = _point(row, name, said)
        if point is not None:
            groups.setdefault(", ".join(filter(None, (variant, place))), []).append(point)
    shown = list(groups.items())
    if len(shown) > MOST_SERIES:
        others = [point for _, points in shown[MOST_SERIES - 1 :] for point in points]
        shown = [*shown[: MOST_SERIES - 1], ("others", others)]
    return [Series(name, points) for name, points in shown]


def _titles(places: Sequence[Where]) -> dict[Hashable, str]:
    """Return what tells places apart: what ran there, or all there is where that is not enough."""
    titles = [title_of(one.runtime) for one in places]
    if len({*titles}) < len(places):
        titles = [place_words(one) for one in places]
    return {place_key(one): title for one, title in zip(places, titles, strict=True)}
