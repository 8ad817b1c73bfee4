"""Test cases as JUnit writes them."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dscost.pages import Said, View
from dscost.pages.findings import Found, Judged
from dscost.rendering import register_renderer
from dscost.rendering.ci import judged_of, printable_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


@register_renderer(
    "junit", meaning="Test cases as JUnit writes them.", endings=(".xml",), says="findings"
)
def junit(said: Said, view: View) -> str:
    """Return a test suite with a case for every check, held or not, and every finding but notes.

    A broken limit is a failure, what could not be judged an error. Warnings fail no case: they are
    its output. Notes test nothing: they are the output of the suite.

    Source:
        The JUnit schema of the Jenkins xUnit plugin, junit-10.xsd.
    """
    from xml.etree.ElementTree import Element, indent, tostring

    suites = Element("testsuites")
    suites.extend([_suite(judged) for judged in judged_of(said)])
    indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(suites, encoding="unicode")}\n'


def _suite(judged: Judged) -> "Element":
    from xml.etree.ElementTree import Element, SubElement

    cases = list(_cases(judged))
    outcomes = Counter(case[0].tag for case in cases if len(case))
    counts = {
        "tests": len(cases),
        "failures": outcomes["failure"],
        "errors": outcomes["error"],
        "skipped": 0,
    }
    name = {"name": _xml(judged.path.as_posix())}
    suite = Element("testsuite", {**name, **{key: str(number) for key, number in counts.items()}})
    suite.extend(cases)
    notes = [f"{_located(judged, one)}\n" for one in judged.found if one.level == "note"]
    if notes:
        SubElement(suite, "system-out").text = _xml("".join(notes))
    return suite


def _cases(judged: Judged) -> Iterator["Element"]:
    """Yield the cases subject by subject, in the order of the file; no two have the same name."""
    from xml.etree.ElementTree import Element

    place = {subject: at for at, subject in enumerate(judged.subjects)}
    seen: Counter[tuple[str, str]] = Counter()
    every: list[tuple[str, str, Found | None]] = [
        *((one.subject, one.check, one) for one in judged.found if one.level != "note"),
        *((subject, check, None) for subject, check in judged.held),
    ]
    for subject, check, one in sorted(every, key=lambda one: place.get(one[0], len(place))):
        seen[subject, check] += 1
        nth = seen[subject, check]
        name = f"{check} ({nth})" if nth > 1 else check
        case = Element("testcase", classname=_xml(subject), name=_xml(name))
        if one is not None:
            case.append(_outcome(judged, one))
        yield case


def _outcome(judged: Judged, one: Found) -> "Element":
    from xml.etree.ElementTree import Element

    if one.level == "warn":
        outcome = Element("system-out")
    else:
        tag = "failure" if one.is_violation else "error"
        outcome = Element(tag, type=one.rule, message=_xml(one.sentence))
    outcome.text = _xml(_located(judged, one))
    return outcome


def _located(judged: Judged, one: Found) -> str:
    return f"{judged.path.as_posix()}:{one.line}:{one.column}: {one.text}"


def _xml(text: str) -> str:
    return printable_text(text).replace("\r\n", "\n").replace("\r", "\n")
