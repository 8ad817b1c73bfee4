"""Random numbers that foreign code draws: those that it would draw anyway, and nobody else's move."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dscost.foreign.randomness import own_random_numbers

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
