from collections.abc import Sequence

import pytest
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from dscost.analysis import Request
from dscost.analysis.choice_timing import AS_IS, ChoiceTimes, Seconds
from dscost.converting.choosing import Options
from dscost.converting.layer_times import by_layer
from dscost.converting.loading import load_subject
from dscost.converting.options import able_sites, every_option
from dscost.converting.plan_file import KEEP, Decision
from dscost.converting.surveying import survey
from dscost.errors import InputError
from dscost.layers.orders import ORDERS, Form
from dscost.reports.records import Environment

WEIGHTS, AT_RANK_1 = 32 * 32 * 9, 32 * 9 + 32 * 32


def conv() -> nn.Conv2d:
    return nn.Conv2d(32, 32, 3, padding=1, bias=False)


def tied(count: int, last: nn.Module | None = None) -> nn.Sequential:
    layers = [conv() for _ in range(count)] + ([last] if last else [])
    for layer in layers:
        layer.weight = layers[0].weight
    return nn.Sequential(*layers)


def offered(module: nn.Module, decisions: dict[str, Decision] | None = None) -> Sequence[Options]:
    subject = load_subject(module, Request((1, 32, 8, 8)))
    sites = survey(module, min_channels=1, traced=subject.traced)
    return every_option(able_sites(sites), subject.readers(), decisions=decisions)


def test_every_layer_is_offered_kept_and_at_every_rank() -> None:
    (layer,) = offered(conv())
    assert [option.decision for option in layer] == [KEEP, *range(1, 10)]
    assert [option.params for option in layer] == [
        WEIGHTS,
        *(rank * AT_RANK_1 for rank in range(1, 10)),
    ]
    assert [option.macs for option in layer] == [64 * option.params for option in layer]
    assert (layer[0].error, layer[-1].error) == (0, pytest.approx(0, abs=1e-6))


def test_layers_that_share_their_weights_have_them_once_and_their_macs_apart() -> None:
    (layer,) = offered(tied(3))
    assert layer[0].names == ("0", "1", "2")
    assert [(option.params, option.macs) for option in layer[:2]] == [
        (WEIGHTS, 3 * 64 * WEIGHTS),
        (AT_RANK_1, 3 * 64 * AT_RANK_1),
    ]


def test_weights_that_a_layer_left_alone_has_too_stay_beside_the_new_ones() -> None:
    (layer,) = offered(tied(2, nn.ConvTranspose2d(32, 32, 3, padding=1, bias=False)))
    assert layer[0].names == ("0", "1")
    assert [option.params for option in layer[:2]] == [WEIGHTS, WEIGHTS + AT_RANK_1]


def test_layers_that_a_plan_decides_apart_go_apart() -> None:
    assert [layer[0].names for layer in offered(tied(3), {"0": 1, "1": 2, "2": 1})] == [
        ("0", "2"),
        ("1",),
    ]


def test_layers_that_compute_their_weights_share_none() -> None:
    layers = offered(nn.Sequential(*(weight_norm(conv()) for _ in range(6))))
    assert [layer[0].names for layer in layers] == [(str(number),) for number in range(6)]


def test_with_times_only_what_has_fewer_macs_is_an_option() -> None:
    # at rank 6 a kernel of 18 filters has the MACs that it had: 6 · (9 + 18) = 9 · 18
    module = nn.Conv2d(32, 18, 3, bias=False)
    subject = load_subject(module, Request((1, 32, 8, 8)))
    (site,) = survey(module, min_channels=1, traced=subject.traced)
    assert site.macs(Form(6)) == site.macs()
    key = (site.conv, site.runs[0].batched_input_shape)
    forms = [AS_IS, *map(Form, range(1, 6))]
    of = {key: dict.fromkeys(forms, Seconds(1.0))}
    environment = Environment("a processor", 1, "float32", "contiguous", "system", "2", None, None)
    (layer,) = every_option(
        [site], subject.readers(), times=by_layer(ChoiceTimes(9.0, of, environment, ()))
    )
    assert [option.decision for option in layer] == [KEEP, 1, 2, 3, 4, 5]


def test_in_both_orders_every_rank_of_either_is_offered() -> None:
    module = nn.Conv2d(32, 18, 3, padding=1, bias=False)
    subject = load_subject(module, Request((1, 32, 8, 8)))
    sites = survey(module, min_channels=1, traced=subject.traced)
    (layer,) = every_option(able_sites(sites), subject.readers(), orders=ORDERS)
    decisions = [KEEP, *range(1, 10), *(f"{rank} pointwise-first" for rank in range(1, 10))]
    assert [option.decision for option in layer] == decisions
    assert [option.params for option in layer[10:]] == [
        rank * 18 * (32 + 9) for rank in range(1, 10)
    ]
    assert [option.form for option in layer[:2]] == [None, Form(1)]
    (mirror,) = every_option(able_sites(sites), subject.readers(), orders=ORDERS[1:])
    assert mirror == [layer[0], *layer[10:]]


def test_layers_that_share_their_weights_are_offered_what_pays_for_each() -> None:
    """At stride 2 the 1×1 has four times the positions, so that fewer ranks have fewer MACs."""
    one, two = conv(), nn.Conv2d(32, 32, 3, stride=2, padding=1, bias=False)
    two.weight = one.weight
    module = nn.Sequential(one, two)
    subject = load_subject(module, Request((1, 32, 16, 16)))
    sites = survey(module, min_channels=1, traced=subject.traced)
    of = {
        (site.conv, run.batched_input_shape): {
            AS_IS: Seconds(1.0),
            **dict.fromkeys(site.forms("pointwise-first"), Seconds(0.5)),
        }
        for site in sites
        for run in site.runs
    }
    environment = Environment("a processor", 1, "float32", "contiguous", "system", "2", None, None)
    (layer,) = every_option(
        able_sites(sites),
        subject.readers(),
        orders=("pointwise-first",),
        times=by_layer(ChoiceTimes(9.0, of, environment, ())),
    )
    # 256 · 32 · 32 · T + 64 · 32 · 9 · T of 64 · 32 · 32 · 9 at stride 2
    assert [option.decision for option in layer] == [KEEP, "1 pointwise-first", "2 pointwise-first"]
    macs = [sum(site.macs(form) for site in sites) for form in sites[0].forms("pointwise-first")]
    assert [option.macs for option in layer[1:]] == macs[:2]


def test_without_weights_there_is_nothing_to_offer() -> None:
    with pytest.raises(InputError, match=r"^\(root\) is on meta, without weights to decompose"):
        offered(conv().to("meta"))
