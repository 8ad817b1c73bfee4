"""The example that trains, converts and fine-tunes a small network, at a small size."""

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

EXAMPLE = Path(__file__).parent.parent / "examples" / "fine_tune.py"


@pytest.fixture
def example() -> Iterator[dict[str, Any]]:
    """Return the names of the example; on one thread its results are the same each time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        yield runpy.run_path(str(EXAMPLE))
    torch.set_num_threads(threads)


def test_fine_tuning_brings_back_what_the_conversion_took(example: dict[str, Any]) -> None:
    trained, converted, tuned, new = example["story"](epochs=4, count=2000)
    # four kinds of shapes: by chance a quarter is right
    assert trained.accuracy > 0.7
    assert converted.accuracy < trained.accuracy - 0.2
    assert tuned.accuracy > converted.accuracy + 0.2
    assert tuned.accuracy > new.accuracy
    # 1 → 32 stays; 32 → 64 at 8×8 and 64 → 64 at 4×4 become separable
    saved = (32 * 64 * 9 - (32 * 9 + 32 * 64), 64 * 64 * 9 - (64 * 9 + 64 * 64))
    assert trained.params - tuned.params == sum(saved)
    assert trained.macs - tuned.macs == 8 * 8 * saved[0] + 4 * 4 * saved[1]
    assert (
        (converted.params, converted.macs) == (tuned.params, tuned.macs) == (new.params, new.macs)
    )


def test_the_same_seed_tells_the_same_story(example: dict[str, Any]) -> None:
    first, again, other = (example["story"](epochs=1, count=100, seed=seed) for seed in (1, 1, 2))
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
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--epochs", "1", "--pictures", "100"])
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    torch.set_num_threads(threads)
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["network", "accuracy", "params", "MACs"]
    assert [row[:10].strip() for row in rows] == [
        "trained",
        "converted",
        "fine-tuned",
        "new, train",
    ]


def test_the_readme_shows_the_sizes_that_the_example_comes_to(example: dict[str, Any]) -> None:
    trained, converted, *_ = example["story"](epochs=1, count=200)
    readme = (EXAMPLE.parent.parent / "README.md").read_text(encoding="utf-8")
    for one, rows in ((trained, 1), (converted, 3)):
        assert readme.count(f"| {one.params:,} | {one.macs:,} |") == rows
    assert readme.count("| 97.6 % |") == readme.count("| **93 %** |") == 1
