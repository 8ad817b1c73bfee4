"""The example that trains, converts and fine-tunes a small network, at a small size."""

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from documents import all_texts

EXAMPLE = Path(__file__).parent.parent / "examples" / "fine_tune.py"


@contextmanager
def one_thread() -> Iterator[dict[str, Any]]:
    """Return the names of the example; on one thread its results are the same each time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        yield runpy.run_path(str(EXAMPLE))
    torch.set_num_threads(threads)


@pytest.fixture
def example() -> Iterator[dict[str, Any]]:
    with one_thread() as names:
        yield names


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """Return a story, step by step."""
    with one_thread() as names:
        steps = names["story"](epochs=4, count=2000)
    return {step.name: step for step in steps}


def test_fine_tuning_brings_back_what_the_conversion_took(told: dict[str, Any]) -> None:
    trained, converted, tuned, new = list(told.values())[:4]
    # four kinds of shapes: by chance a quarter is right
    assert trained.accuracy > 0.7
    assert converted.accuracy < trained.accuracy - 0.2
    assert tuned.accuracy > converted.accuracy + 0.2
    assert tuned.accuracy > new.accuracy
    # 1 → 16 and 16 → 32 stay; 32 → 32 at 8×8 and 32 → 64 at 4×4 become separable
    saved = (32 * 32 * 9 - (32 * 9 + 32 * 32), 32 * 64 * 9 - (32 * 9 + 32 * 64))
    assert trained.params - tuned.params == sum(saved)
    assert trained.macs - tuned.macs == 8 * 8 * saved[0] + 4 * 4 * saved[1]
    assert (
        (converted.params, converted.macs) == (tuned.params, tuned.macs) == (new.params, new.macs)
    )


def test_a_plan_by_the_score_spends_the_same_macs_better(told: dict[str, Any]) -> None:
    converted, planned = told["converted"], told["planned by the score"]
    assert planned.macs <= converted.macs
    assert planned.accuracy > converted.accuracy + 0.2
    assert planned.accuracy >= told["planned by kernel errors"].accuracy - 0.02
    recovered = told["planned, recovered"]
    assert (recovered.macs, recovered.params) == (planned.macs, planned.params)
    assert recovered.accuracy > told["trained"].accuracy - 0.1


def test_the_same_seed_tells_the_same_story(example: dict[str, Any]) -> None:
    first, again, other = (example["story"](epochs=1, count=300, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_a_picture_shows_the_shape_of_its_label_where_the_noise_is_off(
    example: dict[str, Any],
) -> None:
    images, labels = example["draw"](400, torch.Generator().manual_seed(0), noise=0.0)
    assert images.shape == (400, 1, 32, 32)
    assert set(images.unique().tolist()) == {0.0, 1.0}
    assert sorted(labels.unique().tolist()) == [0, 1, 2, 3]
    # area over the square of the radius: π·0.8 for the circle, 1.6² for the square, less for what is notched
    area = {
        name: images[labels == i].sum(dim=(1, 2, 3)).mean()
        for i, name in enumerate(example["SHAPES"])
    }
    assert area["square"] > area["cross"] > area["triangle"]
    assert area["circle"] / area["square"] == pytest.approx(3.14159 * 0.8 / 1.6**2, rel=0.1)


def test_it_prints_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--epochs", "1", "--pictures", "300"])
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    torch.set_num_threads(threads)
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["network", "accuracy", "params", "MACs"]
    assert [row[:32].strip() for row in rows] == [
        "trained",
        "converted",
        "fine-tuned for one epoch",
        "new, trained for one epoch",
        "planned by kernel errors",
        "planned by the score",
        "planned, recovered",
        "planned, recovered, fine-tuned",
    ]


def test_the_pages_show_the_sizes_that_the_example_comes_to(told: dict[str, Any]) -> None:
    for name, rows in (("trained", 1), ("converted", 4)):
        one = told[name]
        assert all_texts().count(f"| {one.params:,} | {one.macs:,} |") == rows
