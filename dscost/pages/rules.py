"""Every kind of finding of a budget, explained."""

from collections.abc import Mapping

from dscost.pages.findings import Rule

_ACCEPT = (
    "Make the model cheaper, or take the growth over on purpose: "
    "dscost baseline update --accept MODEL."
)

RULES: Mapping[str, Rule] = {
    "over_max": Rule(
        "Over the limit",
        "A figure is above the 'max' of its limit.",
        "Make the model cheaper (dscost model shows which layers are the largest), "
        "or raise the limit on purpose: dscost baseline update --accept MODEL --raise-limits.",
    ),
    "under_min": Rule(
        "Under the least",
        "A figure is below the 'min' of its limit.",
        "Look for what the model has lost, or lower the limit on purpose: "
        "dscost baseline update --accept MODEL --raise-limits.",
    ),
    "grew": Rule(
        "Grew",
        "A figure grew by more than 'max_increase' since the baseline; a latency ratio, beside "
        "the model that it is taken against.",
        _ACCEPT,
    ),
    "shrank": Rule(
        "Shrank",
        "A figure shrank since the baseline by more than 'max_decrease'.",
        "Look for what the model has lost, or take it over on purpose: dscost baseline update.",
    ),
    "new_cost": Rule(
        "New cost",
        "A figure that the baseline has as zero, or not at all, is above zero now.",
        _ACCEPT,
    ),
    "undecided": Rule(
        "Not decided",
        "The interval of a ratio of latencies holds its limit, or the difference is no larger than "
        "that of a model from itself: whether it is broken is not known.",
        "Give it clock: cpu, a longer time_budget or a quieter machine, or a limit further away.",
        "note",
    ),
    "unmatched_rule": Rule(
        "Rule matches no layer",
        "A rule on layers, or an exclusion, matches no layer of the model, so it judges nothing.",
        "Correct the pattern (dscost model lists the layers), remove the rule, "
        "or say by allow_empty: true that it is meant; policy: on_unmatched_rule.",
    ),
    "missing_baseline": Rule(
        "Not in the baseline",
        "A limit on growth has nothing to compare with.",
        "Add the model with dscost baseline update; policy: on_missing_baseline.",
        "warn",
    ),
    "stale_baseline": Rule(
        "Stale entry of the baseline",
        "The baseline has a model that the budget does not name any more.",
        "Remove it with dscost baseline update; policy: on_stale_baseline.",
        "warn",
    ),
    "not_comparable": Rule(
        "Not comparable with the baseline",
        "The figures of the baseline are of another target, input, dtype or counting convention.",
        "Take the figures anew with dscost baseline update --accept MODEL; "
        "policy: on_missing_baseline.",
        "warn",
    ),
    "unknown_cost": Rule(
        "Operators of unknown cost",
        "The model has operators that nothing is known about, so its figures are partial.",
        "Register a rule for the operator; policy: on_unknown_cost.",
    ),
    "unseen_work": Rule(
        "Work that was not seen",
        "Part of the model ran, or may have run, where no operator is seen, "
        "so its cost is not in the figures.",
        "Let it run in the thread that calls the model, with operators that torch dispatches; "
        "policy: on_unseen_work.",
    ),
    "value_dependent": Rule(
        "Cost depends on values",
        "The model looks at values, so that other inputs may take other ways, at other costs.",
        "Mind that the figures are those of one way; policy: on_value_dependent.",
        "warn",
    ),
    "unused_weights": Rule(
        "Weights that were never used",
        "Modules never ran, so that their cost is not in the figures.",
        "Give the inputs that they need, or remove them; policy: on_unused_weights.",
        "warn",
    ),
    "other_doubt": Rule(
        "Figures in doubt",
        "A later version of dscost, which made the report, "
        "had a doubt that this one does not know.",
        "Use that version; policy: on_value_dependent.",
        "warn",
    ),
    "unknown_figure": Rule(
        "Figure not known",
        "A limit is on a figure that could not be found out for this model.",
        "Remove the limit, or name a target and input that the figure is known for; "
        "of a ratio, what it is against, or a longer time_budget.",
    ),
    "unloadable_model": Rule(
        "Model cannot be loaded",
        "The target could not be loaded or counted, so none of its limits was judged.",
        "Correct the target or what it needs; dscost model TARGET shows the error; "
        "policy: on_unloadable_model.",
    ),
    "inexact_exclusion": Rule(
        "Exclusion is not exact",
        "A figure is limited that excluded layers cannot be taken off, or not exactly.",
        "Mind that when setting the limit, "
        "or give the target a factory that makes the model without those layers.",
        "note",
    ),
    "improvement": Rule(
        "Cheaper than the baseline",
        "A figure is below the baseline.",
        "Keep the improvement with dscost baseline update; policy: on_improvement.",
        "note",
    ),
}
"""Every kind of finding."""
