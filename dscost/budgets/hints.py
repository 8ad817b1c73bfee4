"""What a report advises to give, in the words of a budget file."""

import re
from collections.abc import Iterable
from shlex import quote, split

from dscost.budgets.records import Entry
from dscost.files import split_report_name
from dscost.reports.figures import convention_of
from dscost.reports.records import Report


def in_yaml(text: str) -> str:
    """Return a text with inputs as budgets have them, where it has them as commands do."""
    one = r"--input (?:'[^']*'|[^\s;)']+)"

    def written(found: re.Match[str]) -> str:
        inputs = [f'"{each}"' for each in split(found[0])[1::2]]
        return f"input: {inputs[0] if len(inputs) == 1 else '[' + ', '.join(inputs) + ']'}"

    return re.sub(rf"{one}(?: {one})*", written, text)


def deciding(warnings: Iterable[str]) -> str:
    """Return which inputs decide what runs, in brackets, as far as a report says so."""
    found = [
        one[0][0].lower() + one[0][1:].removesuffix(".")
        for text in warnings
        if (one := re.search(r"The input '.*' decides which of them runs.*", text))
    ]
    return f" ({in_yaml('; '.join(dict.fromkeys(found)))})" if found else ""


def why_not_counted(entry: Entry, report: Report, metric: str) -> str:
    """Return why a figure by a convention is not known of a model, or of layers of it."""
    if (convention_of(metric) or "") in report.by_convention:
        return "how much of the whole a part of a module counts is not known"
    if split_report_name(entry.target) is not None:
        convention = quote(entry.conventions[metric].name)
        if convention_of(metric) in report.conventions:
            return (
                f"what {entry.target} was saved with was counted by other rules, or does not say "
                f"by which: dscost model --convention {convention} --json counts by these"
            )
        return (
            f"{entry.target} was saved without them: dscost model --convention {convention} --json "
            "counts them too"
        )
    return "models of this kind are not counted by conventions"
