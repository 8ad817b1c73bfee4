"""Random numbers that foreign code draws: those that it would draw anyway, and nobody else's move."""

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dscost.foreign import randomness
from dscost.foreign.randomness import own_random_numbers, states_kept

ONES = torch.ones(64)
DRAWS: dict[str, Callable[[], Tensor]] = {
    "rand": lambda: torch.rand(64),
    "rand of its dtype": lambda: torch.rand(64, dtype=torch.float64),
    "rand as another": lambda: torch.rand_like(ONES),
    "randn": lambda: torch.randn(8, 8),
    "randint below": lambda: torch.randint(1000, (64,)),
    "randint between": lambda: torch.randint(500, 1000, (64,)),
    "randint as another, below": lambda: torch.randint_like(ONES, 1000),
    "randint as another, between": lambda: torch.randint_like(ONES, 500, 1000),
    "randperm": lambda: torch.randperm(64),
    "normal of numbers": lambda: torch.normal(1.0, 2.0, (64,)),
    "normal of a tensor and a number": lambda: torch.normal(ONES, 2.0),
    "normal of a number and a tensor": lambda: torch.normal(1.0, 2 * ONES),
    "normal of tensors": lambda: torch.normal(ONES, 2 * ONES),
    "normal in place": lambda: torch.empty(64).normal_(1.0, 2.0),
    "uniform in place": lambda: torch.empty(64).uniform_(2.0, 3.0),
    "bernoulli of probabilities": lambda: torch.bernoulli(ONES / 2),
    "bernoulli of one probability": lambda: torch.bernoulli(ONES, 0.3),
    "bernoulli in place": lambda: torch.empty(64).bernoulli_(0.3),
    "random below": lambda: torch.empty(64).random_(1000),
    "random between": lambda: torch.empty(64).random_(500, 1000),
    "exponential": lambda: torch.empty(64).exponential_(3.0),
    "multinomial": lambda: torch.multinomial(ONES, 32),
    "poisson": lambda: torch.poisson(9 * ONES),
    "dropout": lambda: F.dropout(ONES, 0.3),
    "a leaky unit with a random slope": lambda: F.rrelu(-ONES, training=True),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_gives_the_numbers_that_it_gives_anyway_and_those_of_others_stay(name: str) -> None:
    draw, before = DRAWS[name], torch.get_rng_state()
    try:
        torch.manual_seed(3)
        expected = draw()
        torch.manual_seed(3)
        state = torch.get_rng_state()
        with own_random_numbers():
            found = draw()
            assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_rng_state(before)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def states() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state()
    return {
        "torch": (torch.initial_seed(), torch.get_rng_state().tolist()),
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), *rest),
    }


SEED = 987_654
"""Nobody else has it."""

MOVING: dict[str, Callable[[], Any]] = {
    "torch draws": lambda: torch.rand(3),
    "torch is seeded": lambda: torch.manual_seed(SEED),
    "python draws": random.random,
    "python is seeded": lambda: random.seed(3),
    "numpy draws": lambda: np.random.rand(3),
    "numpy is seeded": lambda: np.random.seed(3),
}


@pytest.mark.parametrize("move", MOVING.values(), ids=MOVING)
@pytest.mark.parametrize("threads", [1, 2])
def test_generators_are_put_back_unless_another_thread_may_have_moved_them(
    move: Callable[[], Any], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: threads)
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    before = states()
    try:
        with states_kept():
            move()
            moved = states()
        after = states()
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.set_rng_state(kept[2])
    assert moved != before
    # a seed of torch is told from numbers that others have drawn
    assert after == (before if threads == 1 or moved["torch"][0] == SEED else moved)


def test_a_seed_that_was_given_before_anybody_looked_is_still_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = torch.get_rng_state()
    try:
        torch.manual_seed(5)
        monkeypatch.setattr(randomness, "_UNSEEDED", randomness.unseeded(torch.initial_seed()))
        expected = torch.rand(64)
        torch.manual_seed(5)
        for unseeded in (0, None):
            with own_random_numbers(unseeded):
                found = torch.rand(64)
            assert torch.equal(found, expected)
        torch.seed()
        monkeypatch.setattr(randomness, "_UNSEEDED", randomness.unseeded(torch.initial_seed()))
        with own_random_numbers(5):
            assert torch.equal(torch.rand(64), expected)
    finally:
        torch.set_rng_state(state)
