"""Sec. 5.1 and 5.2: transformations in front of a model under a standard attack (Tables 1, 3 and 4)."""

from __future__ import annotations

from collections.abc import Mapping

from core.metrics import Rate
from core.paper.claims.base import LIMITED, SLIGHT, TENTH, UNCHANGED, Claim, Verdict
from core.paper.claims.curves import CLEAN, COLOURS, FLIP, NOISE, VALUES, Curves, judge_rates, shrinkpad
from core.paper.claims.enhanced import judge_enhanced
from core.paper.claims.intervals import Decided, drops_at_most, drops_by_more, share_left
from core.paper.constants import SHRINK, STANDARD

__all__ = ["judge_defenses"]

SHRINKPAD_STOPS = Claim(
    "shrinkpad-stops",
    "5.1",
    "ShrinkPad with 4 pixels decreases the attack success rate of every standard attack by more than 90%.",
    "Behind ShrinkPad-4 less than a tenth of the success rate is left.",
    "ShrinkPad with 4 pixels could decrease the ASR score by more than 90% in all cases.",
)
FLIP_STOPS = Claim(
    "flip-stops",
    "5.1",
    "Flip stops BadNets and Blended.",
    "Behind Flip less than a tenth of the success rate is left, which is what is said of ShrinkPad-4.",
    "Flip also shows satisfied defense performance to BadNets and Blended attacks.",
)
FLIP_SPARES_CONSISTENT = Claim(
    "flip-spares-consistent",
    "5.1",
    "Flip does not stop the consistent attack, whose trigger is symmetrical.",
    "Behind Flip the success rate is at most 5 points lower than without.",
    "But it doesn't work on defending against Consistent attack, due to the symmetrical trigger used in Consistent "
    "attack.",
)
CLEAN_KEPT = Claim(
    "clean-kept",
    "5.1",
    "Flip and ShrinkPad hardly change the clean accuracy.",
    "Behind Flip and behind ShrinkPad with 1 to 4 pixels the clean accuracy is at most 6 points lower than without.",
    "… while slightly influences the classification performance of clean/normal testing images.",
)
VALUES_SPARE = Claim(
    "values-spare",
    "5.2",
    "Noise and colour shifts, which leave the trigger in place, hardly lower the success of standard attacks.",
    "At the largest strength of the paper (noise 20/255, the others 0.4) the success rate is at most 10 points lower "
    "than without.",
    "… both the additive Gaussian noise and color-shifting have limited effects on defending backdoor attacks.",
)
_NOISE = (
    "… despite the use of a large standard deviation, ASR has not decreased even though the clean accuracy has "
    "decreased by more than 30%."
)
NOISE_SPARES = Claim(
    "noise-spares",
    "5.2",
    "Strong noise does not lower the success of standard attacks.",
    "Under noise of 20/255 the success rate is at most 5 points lower than without.",
    _NOISE,
)
NOISE_COSTS = Claim(
    "noise-costs-clean",
    "5.2",
    "Strong noise costs more than 30 points of clean accuracy.",
    "Under noise of 20/255 the clean accuracy is more than 30 points lower than without.",
    _NOISE,
)
COLOUR_SPARES_CLEAN = Claim(
    "colour-spares-clean",
    "5.2",
    "Colour shifts hardly lower the clean accuracy.",
    "Under hue, contrast, brightness and saturation shifts of 0.4 the clean accuracy is at most 10 points lower than "
    "without.",
    "… color-shifting has limited effects on both defense performance and clean accuracy.",
)
SPATIAL = (FLIP, *shrinkpad(1, 2, 3, 4))


def judge_defenses(measured: Mapping[str, Curves]) -> list[Verdict]:
    """The statements of Sec. 5.1, 5.2, 5.3 and 5.6 about transformations in front of the model.

    Args:
        measured: Stored curves over the strength of transformations, by the attack's title and the transformation; of
            enhanced attacks those with the paper's largest shrink size, 4.
    """

    def tenth(before: Rate, after: Rate) -> Decided:
        return share_left(after, before, TENTH)

    def limited(before: Rate, after: Rate) -> Decided:
        return drops_at_most(before, after, LIMITED)

    def unchanged(before: Rate, after: Rate) -> Decided:
        return drops_at_most(before, after, UNCHANGED)

    def slight(before: Rate, after: Rate) -> Decided:
        return drops_at_most(before, after, SLIGHT)

    return [
        judge_rates(SHRINKPAD_STOPS, measured, STANDARD, shrinkpad(SHRINK), tenth),
        judge_rates(FLIP_STOPS, measured, STANDARD[:2], [FLIP], tenth),
        judge_rates(FLIP_SPARES_CONSISTENT, measured, STANDARD[2:], [FLIP], unchanged),
        judge_rates(CLEAN_KEPT, measured, STANDARD, SPATIAL, slight, CLEAN),
        judge_rates(VALUES_SPARE, measured, STANDARD, VALUES, limited),
        judge_rates(NOISE_SPARES, measured, STANDARD, NOISE, unchanged),
        judge_rates(NOISE_COSTS, measured, STANDARD, NOISE, lambda b, a: drops_by_more(b, a, 0.3), CLEAN),
        judge_rates(COLOUR_SPARES_CLEAN, measured, STANDARD, COLOURS, limited, CLEAN),
        *judge_enhanced(measured),
    ]
