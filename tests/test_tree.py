"""`dscost model --tree`: modules as torchinfo draws them, with the sums of what they hold."""

from functools import cache
from pathlib import Path

import pytest
from program import run
from torch import Tensor, nn

import dscost
from dscost.errors import UnknownNameError
from dscost.pages.tree import frozen_in, tree_of
from dscost.rendering import View, render
from dscost.reports.records import Report

CONV, NORM, DEEP, HEAD = 8 * 3 * 9, 2 * 8, 16 * 8 * 9 + 16, 16 * 10 + 10
"""Parameters of the four layers that have any."""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        deep = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), deep
        )
        self.head = nn.Linear(16, 10)
        self.body.requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.body(x).mean((2, 3)))
        return result


@cache
def report() -> Report:
    return dscost.analyze(Net(), input=(1, 3, 16, 16))


def tree(of: Report, columns: tuple[str, ...] = ("params", "macs"), **view: object) -> list[str]:
    """Return the lines of the tree, from the model itself down."""
    lines = render([of], "table", View(tree=True, columns=columns, **view)).splitlines()  # type: ignore[arg-type]
    rule = next(at for at, line in enumerate(lines) if line.startswith("──"))
    return lines[rule + 1 : lines.index("", rule)]


def test_modules_are_drawn_as_a_tree_with_the_sums_of_what_they_hold() -> None:
    conv, deep = CONV * 16 * 16, 16 * 8 * 9 * 14 * 14
    assert (conv, deep) == (55_296, 225_792)
    assert [line.split() for line in tree(report(), ("kind", "params", "macs", "output"))] == [
        ["Net", "Net", "1,570", "281.2k", "10"],
        ["├─", "body", "Sequential", "1,400", "281.1k", "16×14×14"],
        ["│", "├─", "0", "conv", "3×3", "216", "55.30k", "8×16×16"],
        ["│", "├─", "1", "BatchNorm2d", "16", "0", "8×16×16"],
        ["│", "└─", "2", "Sequential", "1,168", "225.8k", "16×14×14"],
        ["│", "├─", "0", "conv", "3×3", "1,168", "225.8k", "16×14×14"],
        ["│", "└─", "1", "ReLU", "0", "0", "16×14×14"],
        ["└─", "head", "Linear", "170", "160", "10"],
    ]
    assert CONV + NORM + DEEP + HEAD == 1570


def test_branches_end_where_their_module_ends() -> None:
    assert [line[:9] for line in tree(report())] == [
        "Net      ",
        "├─ body  ",
        "│  ├─ 0  ",
        "│  ├─ 1  ",
        "│  └─ 2  ",
        "│     ├─ ",
        "│     └─ ",
        "└─ head  ",
    ]


def test_sums_of_every_module_are_those_of_its_children() -> None:
    for of in (report(), dscost.analyze("mobilenet_v2")):
        root = tree_of(of.layers)
        assert root.cost.params == of.totals.as_is.params
        assert root.cost.macs == of.totals.as_is.macs
        nodes = [root]
        while nodes:
            node = nodes.pop()
            nodes += node.children.values()
            own = node.layer.cost.params or 0 if node.layer else 0
            below = sum(child.cost.params or 0 for child in node.children.values())
            assert node.cost.params == own + below


def test_a_built_in_is_a_tree_too() -> None:
    lines = tree(dscost.analyze("resnet18"), depth=2)
    # two blocks of two convolutions of 64 → 64 with their norms, as in torchvision
    block = 2 * (64 * 64 * 9 + 128)
    assert 2 * block == 147_968
    assert [line.split() for line in lines[5:8]] == [
        ["├─", "layer1", "148.0k", "462.4M"],
        ["│", "├─", "0", "73.98k", "231.2M"],
        ["│", "└─", "1", "73.98k", "231.2M"],
    ]
    assert len(lines) == 1 + 4 + 4 * 3 + 3


def test_depth_cuts_the_tree_and_loses_nothing() -> None:
    lines = tree(report(), depth=1)
    assert [line.split() for line in lines] == [
        ["Net", "1,570", "281.2k"],
        ["├─", "body", "1,400", "281.1k"],
        ["└─", "head", "170", "160"],
    ]


def test_frozen_and_trained_parameters_are_told_apart() -> None:
    assert [layer.frozen_params for layer in report().layers if layer.cost.params] == [
        CONV,
        NORM,
        DEEP,
        0,
    ]
    text = render([report()], "table", View(tree=True))
    assert f"params: {HEAD} trainable, {CONV + NORM + DEEP:,} frozen" in text
    assert [line.split()[-1] for line in tree(report(), ("frozen",))] == [
        *("1,400", "1,400", "216", "16", "1,168", "1,168", "0", "0"),
    ]
    assert report().to_dict()["layers"][0]["frozen_params"] == CONV


def test_a_model_with_nothing_frozen_has_no_column_of_it() -> None:
    text = render([dscost.analyze(nn.Linear(3, 4), input=(1, 3))], "table", View(tree=True))
    assert "params: 16 trainable, 0 frozen" in text
    assert " frozen\n" not in text.replace("0 frozen\n", "")


def test_what_a_report_does_not_tell_is_unknown() -> None:
    assert frozen_in(dscost.analyze("resnet18").layers) is None
    assert "frozen" not in render([dscost.analyze("resnet18")], "table", View(tree=True))


def test_parameters_that_nothing_reads_stand_in_the_tree() -> None:
    net = Net()
    net.spare = nn.Linear(5, 7)
    lines = tree(dscost.analyze(net, input=(1, 3, 16, 16)), ("kind", "params"))
    assert lines[-1].split() == ["└─", "spare", "Linear", str(5 * 7 + 7)]
    assert lines[0].split()[-1] == "1,612"


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_tree_fits_the_terminal_and_keeps_what_decides(width: int) -> None:
    text = render([report()], "table", View(tree=True, width=width))
    assert max(map(len, text.splitlines())) <= width
    assert all(header in text for header in ("module", "kind", "params", "MACs"))


def test_markdown_keeps_the_branches_apart() -> None:
    text = render([report()], "markdown", View(tree=True))
    assert "| ├─ body | Sequential |" in text
    assert "| │&nbsp;&nbsp;├─ 0 | conv 3×3 |" in text


def test_latex_has_signs_of_its_own_for_branches() -> None:
    text = render([report()], "latex", View(tree=True))
    assert r"$\vdash$-- body & Sequential &" in text
    assert r"$\lfloor$-- head & Linear &" in text
    assert not set(text) & set("│├└─")


def test_a_tree_can_be_read_where_the_terminal_knows_ascii_only() -> None:
    ran = run("model", "resnet18", "--no-time", "--tree", "--depth", "1")
    from dscost.encodable import encodable

    assert "|- layer1" in encodable(ran.stdout, "ascii")
    assert "+- fc" in encodable(ran.stdout, "ascii")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--json", "--tree has no meaning for --format json"),
        ("--format csv", "--tree has no meaning for --format csv"),
        ("--sort macs", "--tree shows every module in its place: --sort and --top have no meaning"),
        ("--top 3", "--tree shows every module in its place: --sort and --top have no meaning"),
        ("--columns speedup", "unknown column 'speedup' (known: layer, kind, output, params, "),
    ],
)
def test_what_means_nothing_for_a_tree_is_refused(options: str, told: str) -> None:
    ran = run("model", "resnet18", "--no-time", "--tree", *options.split())
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"dscost: {told}")


def test_a_saved_report_is_drawn_as_the_model_was(tmp_path: Path) -> None:
    ran = run("model", "mobilenet_v1", "--no-time", "--tree")
    run("model", "mobilenet_v1", "--no-time", "-o", "saved.json", cwd=tmp_path)
    again = run("model", "saved.json", "--no-time", "--tree", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, ran.stdout)


def test_a_column_that_a_tree_has_not_is_told_of_a_result_too() -> None:
    with pytest.raises(UnknownNameError, match="unknown column 'why'"):
        tree(report(), ("why",))
