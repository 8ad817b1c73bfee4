"""Cases and what was measured of them → the rows of a table, each case and place in it once."""

from collections.abc import Iterator, Mapping, Sequence

from dscost.notation.units import dtype_bytes
from dscost.sweeping.pooling import Levels, pooled
from dscost.sweeping.records import NOT_YET, UNSTEADY, Case, Row, Visit, Where
from dscost.sweeping.swept import rows_of_case


def rows_of(
    cases: Sequence[Case],
    visits: Mapping[str, Sequence[Visit]],
    places: Sequence[Where],
    dtypes: Sequence[str] = (),
) -> list[Row]:
    """Return the rows of a timed table, in the order of the cases, place by place.

    A latency is what the reference layer takes, as the median of all visits in the place, over how
    many times as fast this is in the visits that count, see `dscost.sweeping.pooling`. Its interval
    is that of this ratio: the other factor is the same in all rows of a place.

    Args:
        cases: What the table is about.
        visits: By the key of the case.
        places: Where the cases were to be timed.
        dtypes: What all of them were to be timed in; else each in its own, where it has one.
    """
    levels = Levels(visit for of_case in visits.values() for visit in of_case)
    return [
        row
        for case in cases
        for where in places
        if where.dtype in (dtypes or (case.of.get("dtype", where.dtype),))
        for row in _rows(case, where, visits.get(case.key(where), ()), levels)
    ]


def _rows(case: Case, where: Where, visits: Sequence[Visit], levels: Levels) -> Iterator[Row]:
    """Yield the rows of a case in a place."""
    key, counting = case.key(where), levels.counting(visits)
    for row in rows_of_case(case, dtype_bytes(where.dtype)):
        row = row._replace(
            of={**case.of, "dtype": where.dtype}, where=visits[0].where if visits else where
        )
        if row.note:  # the layer has no such variant
            yield row
            continue
        row = row._replace(key=key, visits=len(visits))
        beside = pooled([one.beside[row.variant] for one in counting if row.variant in one.beside])
        if beside is None:
            yield row._replace(note=_why_not(row.variant, visits))
            continue
        usual_s, (low, high) = levels.usual_s(where), beside.ci95
        yield row._replace(
            latency_s=usual_s / beside.median,
            ci95_s=(usual_s / high, usual_s / low),
            speedup=pooled(
                [one.speedups[row.variant] for one in counting if row.variant in one.speedups]
            ),
            note="" if any(map(levels.is_steady, counting)) else UNSTEADY,
        )


def _why_not(label: str, visits: Sequence[Visit]) -> str:
    """Return why a unit has no latency."""
    told = [visit.untimed[label] for visit in visits if label in visit.untimed]
    return f"not timed: {told[-1]}" if told else NOT_YET
