"""A page begins with the answer, says it once, and folds away what is as it should be."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from program import run
from test_advice import FASTER, SLOWER, UNCLEAR, advised, speedup_of, timed, timing
from test_html import RESULTS, Parsed
from test_pictures_of_checks import broken, held, result_of

import dscost
from dscost.budgets.findings import Finding
from dscost.converting.convert import convert_target
from dscost.converting.results import MEASURED, Latency
from dscost.pages import View, said
from dscost.pages.conversion_words import what_was_asked
from dscost.pages.page import Labelled, Typed
from dscost.pages.sheet_titles import title_of
from dscost.rendering import render
from dscost.rendering.html.parts import lines_of
from dscost.reports.records import Advice

NET = """
input: [3, 16, 16]
layers:
  - {name: stem, conv: 3, out_channels: 32}
  - {name: body1, conv: 3, out_channels: 64}
  - {name: body2, conv: 3, out_channels: 64}
  - {name: head, conv: 1, out_channels: 8}
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dscost.Report:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(NET)
    return dscost.analyze("net.yaml")


def box_of(text: str) -> str:
    """Return what stands in the box of answers, before every table and picture, and nowhere else.

    An answer may stand in the title too, which is the name of the page.
    """
    body = text[text.index("<body>") : text.index('<script type="application/json"')]
    (box,) = re.findall(r'<div class="answers[^"]*">(.*?)</div>', body, re.DOTALL)
    above, _, below = body.partition(box)
    assert "<table" not in above
    assert "<svg" not in above
    for sentence in re.findall(r"<p[^>]*>(.*?)</p>", box):
        assert f">{sentence}<" not in above + below
    return str(Parsed(f"<div>{box}</div>").text)


def class_of_the_box(text: str) -> str:
    (found,) = re.findall(r'<div class="answers ?([^"]*)">', text)
    return str(found)


# -- what was timed


def test_a_timed_model_begins_with_what_to_swap_and_what_the_clock_says(net: dscost.Report) -> None:
    whole = timing(10e-3, speedup_of(2.0))
    report = advised(timed(net, {"stem": SLOWER, "body1": FASTER, "body2": FASTER}, whole))
    text = render(report, "html", View(get_it="dscost convert net.yaml --fastest"))
    box = box_of(text)
    assert box.strip().startswith("Swap 2 of 3 convolutions: about ")
    assert (
        "The whole model, standard against depthwise-separable: the clock says 2.00× faster" in box
    )
    assert Parsed(text).texts["pre"] == ["dscost convert net.yaml --fastest"]
    first, *_ = re.findall(r"<table.*?</table>", text, re.DOTALL)
    assert [row for row in ("swap", "body", "keep", "stem") if row not in first] == []
    assert len(Parsed(text).all("section")) == 1  # the advice has none of its own


def test_a_model_that_was_only_counted_has_what_it_could_save_in_the_box() -> None:
    box = box_of(render(dscost.analyze("resnet18"), "html"))
    assert box.strip().startswith("17 convolutions could be depthwise-separable: that takes ")


def test_models_that_were_timed_in_turns_are_answered_by_macs_and_clock() -> None:
    comparison = dscost.compare("resnet18", "mobilenet_v2", "resnet34")
    speedups = (FASTER, UNCLEAR)
    versus = tuple(
        one._replace(speedups={"cpu": speedup})
        for one, speedup in zip(comparison.versus, speedups, strict=True)
    )
    text = render(comparison._replace(versus=versus), "html")
    assert [line.strip() for line in box_of(text).strip().splitlines()] == [
        "mobilenet_v2 against resnet18: 6.0× fewer MACs, 3.0× faster [2.9, 3.1].",
        "resnet34 against resnet18: 2.0× more MACs, the clock cannot tell (1.00× [0.67, 1.50]).",
    ]
    assert class_of_the_box(text) == ""  # two answers that differ
    assert "answers" not in re.findall(r'<div class="(\w+)', render(comparison, "html"))


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ((), "Converted, it takes "),
        (("--goal", "macs=0.5x"), "Goal macs=0.5x, with the least total error that meets it."),
        (("--goal", "error=0.0001"), "Goal error=0.0001"),
    ],
)
def test_a_conversion_begins_with_what_came_of_it(
    net: dscost.Report, options: tuple[str, ...], answer: str
) -> None:
    ran = run("convert", "net.yaml", *options, "--format", "html")
    assert ran.returncode in (0, 1), ran.stderr
    assert answer in box_of(ran.stdout)


def test_times_of_the_converted_model_are_told_from_those_of_the_advice(
    net: dscost.Report,
) -> None:
    outcome = convert_target("net.yaml").converted.outcome
    advice = Advice("cpu", ("body1",), (), 1, 3, 32, 19.1e-3, 3.13e-3, speedup_of(6.1))
    own = outcome._replace(advice=advice, proof=MEASURED, latency=Latency(19.1e-3, 3.13e-3, False))
    assert [*what_was_asked(own)][-1] == (
        "The swaps that pay, as measured now: 6.1× faster (19.1 → 3.13 ms)."
    )
    again = own._replace(latency=Latency(23.3e-3, 3.27e-3, False))
    assert [*what_was_asked(again)][-1] == (
        "The swaps that pay, as measured now: 6.1× faster (19.1 → 3.13 ms). Timed again once it "
        "was converted, with its own weights: 23.3 → 3.27 ms, as in the table."
    )


# -- budgets


def could_not(entry: str) -> Finding:
    return Finding("unloadable", "fail", entry, 1, 1, detail="no such file")


@pytest.mark.parametrize(
    ("found", "begins", "tone"),
    [
        ((held("a", 5, 10),), "Within budget: ", "is-good"),
        ((held("a", 5, 10), broken("b", 12, 10)), "Over budget: ", "is-bad"),
        ((broken("b", 12, 10, level="warn"),), "Within budget, with warnings: ", "is-unclear"),
        ((could_not("c"),), "Failed, not all could be judged: ", "is-bad"),
        (
            (could_not("c"), broken("b", 12, 10)),
            "Failed, not all could be judged, and over budget: ",
            "is-bad",
        ),
    ],
)
def test_a_budget_begins_with_how_it_came_out_in_words_and_colour(
    found: tuple[Finding, ...], begins: str, tone: str
) -> None:
    for quiet in (False, True):
        text = render(result_of(*found), "html", View(brief=quiet))
        assert box_of(text).strip().startswith(begins)
        assert class_of_the_box(text) == tone


def test_what_holds_is_folded_away_and_nobody_is_sent_to_a_terminal() -> None:
    text = render(result_of(held("a", 500, 1000), broken("b", 1200, 1000)), "html")
    folded = text.partition('<details class="page">')[2]
    assert "✓ 1 limit holds" in folded
    assert "50.0 % left" in folded
    assert "dscost check -v" not in text


def test_explanations_are_a_list_of_labels_with_their_commands() -> None:
    result = result_of(broken("net", 1200, 1000, contributions=()))
    text = render(result, "html")
    parsed = Parsed(text)
    assert parsed.texts["dt"] == ["meant it?"]
    assert parsed.texts["dd"][0].startswith("Run this, then commit 1 file.")
    (command,) = parsed.texts["code"]
    assert command.startswith("dscost baseline update dscost.yaml --accept net")
    assert command.strip() == command


def test_labels_that_others_have_named_do_nothing() -> None:
    lines = [Labelled("x", "a\u202eb", "two\nlines", "run\u202e"), Typed("  dscost check  ")]
    terms, typed = lines_of(lines)
    ((label, text, command),) = terms.terms
    assert (label, text.text, command) == ("a\\u202eb", "two\\nlines", "run\\u202e")
    assert typed.is_typed
    assert typed.text.text == "dscost check"


def test_table_and_picture_tell_one_margin_of_a_figure_that_has_two_limits() -> None:
    baseline = Fraction(1000)
    grown = broken("a", 1260, 1000, "grew", before=baseline)
    too_much = broken("a", 1260, 1050, before=baseline)
    text = render(result_of(grown, too_much), "html")
    assert "20.0 % over" in text[: text.index("<svg")]  # 1260 / 1050, the limit on the figure
    assert "1,260 of 1,050, 20.0 % over" in text[text.index("<svg") :]
    assert "26.0 % over" not in text


# -- tables, maps, room


@pytest.mark.parametrize("name", RESULTS)
def test_every_table_says_what_it_is(name: str) -> None:
    for page in said(RESULTS[name]()).pages(View(paged=True)):
        for sheet in page.sheets:
            title = title_of(sheet)
            assert title not in ("Table", "By variant", "By version", "By setting")
            assert not title.startswith("By params")


def test_a_map_that_a_picture_shows_is_folded() -> None:
    sweep = dscost.sweep(in_channels=[8, 16], out_channels=[16, 32], kernel_size=[3, 5])
    before, _, folded = render(sweep, "html").partition('<details class="page">')
    assert before.count("<svg") == 1
    assert "<table" not in before[before.index("<svg") :]
    assert "Times fewer MACs than standard" in folded


def test_the_page_of_a_timed_model_is_small() -> None:
    resnet50 = dscost.analyze("resnet50")
    speedups = {
        layer.name: speedup_of(2.0 + 1 / (at + 3))
        for at, layer in enumerate(resnet50.layers)
        if layer.swappable
    }
    report = advised(timed(resnet50, speedups, timing(0.2 / 3, speedup_of(1.7))))
    text = render(report, "html")
    assert len(text.encode()) <= 120_000
    drawn = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawn) >= 4
    assert not [one for one in drawn if "paint-order" in one]  # which the style of the page has
    assert "paint-order" in text
