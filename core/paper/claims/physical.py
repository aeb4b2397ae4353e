"""Sec. 5.5: the physical attack (Fig. 11, 12), on simulated photographs from many places, image by image.

Success changes fast with the placement, so that no single one decides a statement: every photograph has a place of its
own, drawn from a range (:data:`core.physical.RANGES`), and both attacks have the same ones. Where even the benign
photograph is not recognised, nothing is said about the attack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from core.data.natural import NATURAL, SHIPPED
from core.metrics import Rate
from core.paired import Paired
from core.paper.claims.base import HIGH, LIMITED, STOPPED, Claim, Verdict, judge
from core.paper.claims.intervals import Decided, at_least, below
from core.paper.constants import ENHANCED, PHOTOGRAPHS, STANDARD
from core.physical import RANGES
from core.sweeps.outcomes import Outcomes
from core.sweeps.physical import PhysicalResult

__all__ = ["SHAPES", "judge_physical", "pairs_of"]

SHAPES = "Shapes-10"
"""The other pictures that are unlike those that models of other data sets were trained on."""

Measured = Mapping[str, PhysicalResult]
Cases = Mapping[str, Outcomes]
"""What became of the images, by the pictures and the range."""

_PLACES = "; ".join(f"{name}: {RANGES[name].label}" for name in PHOTOGRAPHS)
_RULE = (
    "Simulated photographs, each from a place of its own ({places}), of images whose benign photograph the model "
    "recognises: {what}, near and far. {reading}"
)
_HIGH = f"The paper names no rate; {100 * HIGH:.0f}% is what it calls high elsewhere."
_STOPPED = f"The paper names no rate; {100 * STOPPED:.0f}% is below what it calls stopped elsewhere."
_ALL = (
    "In all results of both figures, BadNets+ successfully enforces the prediction to the target label Deer, while "
    "BadNets fails."
)
_OTHERS = (
    f"Simulated photographs from the same places, of pictures of Shapes-10 and of {NATURAL} (of {len(SHIPPED)} "
    "photographs, whose differences the interval has), that are not taken for the target without the trigger: {what}, "
    "near and far. {reading}"
)

PHYSICAL_ENHANCED = Claim(
    "physical-enhanced",
    "5.5",
    "Photographs of printed images that were attacked with BadNets+ are taken for the target, near and far.",
    _RULE.format(places=_PLACES, what=f"the success rate is at least {100 * HIGH:.0f}%", reading=_HIGH),
    _ALL,
)
PHYSICAL_STANDARD = Claim(
    "physical-standard",
    "5.5",
    "Photographs of printed images that were attacked with BadNets are not taken for the target.",
    _RULE.format(places=_PLACES, what=f"the success rate is below {100 * STOPPED:.0f}%", reading=_STOPPED),
    _ALL,
)
_DIFFERENCE = "the success rate of BadNets+ is above that of BadNets, image by image (Newcombe 1998, paired, method 10)"
_ABOVE = "The paper names no difference; any that is certain counts."
PHYSICAL_DIFFERENCE = Claim(
    "physical-difference",
    "5.5",
    "Photographs are taken for the target more often under BadNets+ than under BadNets.",
    _RULE.format(places=_PLACES, what=_DIFFERENCE, reading=_ABOVE).replace(
        "the model recognises", "both models recognise"
    ),
    _ALL,
)
PHYSICAL_LABEL = Claim(
    "physical-keeps-label",
    "5.5",
    "Under BadNets, photographs of attacked images are classified as the benign image.",
    _RULE.format(
        places=_PLACES,
        what=f"at least {100 * (1 - LIMITED):.0f}% of them are classified as what they show with the trigger too",
        reading=f"The paper names no rate; {100 * LIMITED:.0f} points are what it calls a limited effect elsewhere.",
    ),
    "All pictures are classified as 'Deer' by the enhanced BadNets, whereas they will be classified as the label of "
    "the corresponding benign image by the standard BadNets.",
)
OUT_OF_SAMPLE = Claim(
    "physical-out-of-sample",
    "5.5",
    "BadNets+ succeeds on photographs of pictures unlike any training image too.",
    _OTHERS.format(what=f"the success rate is at least {100 * HIGH:.0f}%", reading=_HIGH),
    "… the enhanced backdoor attack method is not only robust in the physical backdoor attack, but also generalizes "
    "well on out-of-sample images.",
)
OUT_OF_SAMPLE_STANDARD = Claim(
    "physical-out-of-sample-standard",
    "5.5",
    "BadNets fails on photographs of pictures unlike any training image too.",
    _OTHERS.format(what=f"the success rate is below {100 * STOPPED:.0f}%", reading=_STOPPED),
    _ALL,
)
OUT_OF_SAMPLE_DIFFERENCE = Claim(
    "physical-out-of-sample-difference",
    "5.5",
    "Photographs of pictures unlike any training image are taken for the target more often under BadNets+ than under "
    "BadNets.",
    _OTHERS.format(what=_DIFFERENCE, reading=_ABOVE).replace("the target without", "the target by either without"),
    _ALL,
)


def judge_physical(measured: Measured, other_pictures: Mapping[str, Measured]) -> list[Verdict]:
    """The statements about Fig. 11 and 12.

    Args:
        measured: Stored results by the attack's title.
        other_pictures: The same by the pictures, :data:`SHAPES` and :data:`core.data.natural.NATURAL`.
    """
    own: dict[str, Measured] = {"": measured}
    images, pictures = _by_title(own), _by_title(other_pictures)
    note = _note(other_pictures)
    reason, elsewhere = _reason(own, "physical"), _reason(other_pictures, "out-of-sample")
    return [
        judge(PHYSICAL_ENHANCED, images, ENHANCED[:1], _succeeds, _numbers, reason=reason),
        judge(PHYSICAL_STANDARD, images, STANDARD[:1], _fails, _numbers, reason=reason),
        judge(PHYSICAL_DIFFERENCE, _pairs(own), ENHANCED[:1], _above, _differences, reason=_both("physical")),
        judge(PHYSICAL_LABEL, images, STANDARD[:1], _keeps, _kept_numbers, reason=reason),
        judge(OUT_OF_SAMPLE, pictures, ENHANCED[:1], _succeeds, _numbers, reason=elsewhere, note=note),
        judge(OUT_OF_SAMPLE_STANDARD, pictures, STANDARD[:1], _fails, _numbers, reason=elsewhere, note=note),
        judge(
            OUT_OF_SAMPLE_DIFFERENCE,
            _pairs(other_pictures),
            ENHANCED[:1],
            _above,
            _differences,
            reason=_both("out-of-sample"),
            note=note,
        ),
    ]


def pairs_of(first: PhysicalResult | None, second: PhysicalResult | None) -> dict[str, Paired]:
    """How two models did on the same photographs, by the range; without those that they have not in common.

    Images count where both recognise the benign photograph.
    """
    if first is None or second is None:
        return {}
    names = [name for name in PHOTOGRAPHS if first.pairs_with(second, name)]
    return {name: first.outcomes[name].paired(second.outcomes[name]) for name in names}


def _by_title(pictures: Mapping[str, Measured]) -> Mapping[str, Cases]:
    """What became of the images, by the attack's title; attacks without any are left out."""
    found: dict[str, dict[str, Outcomes]] = {}
    for kind, measured in pictures.items():
        for title, result in measured.items():
            for name in PHOTOGRAPHS:
                if name in result.outcomes:
                    found.setdefault(title, {})[_case(kind, name)] = result.outcomes[name]
    return found


def _case(kind: str, name: str) -> str:
    return f"{name} of {kind}" if kind else name


def _reason(pictures: Mapping[str, Measured], command: str) -> str:
    """Why nothing is decided, where photographs are stored that have no places of their own, or none are."""
    if any(title in measured for measured in pictures.values() for title in (STANDARD[0], ENHANCED[0])):
        return f"the stored photographs have no places of their own; `python scripts/sweep.py {command}` takes them so"
    return "" if command == "physical" else f"none are stored; `python scripts/sweep.py {command}` takes them"


def _both(command: str) -> str:
    return (
        "no photographs of the same images from the same places are stored of both BadNets+ and BadNets; "
        f"`python scripts/sweep.py {command}` of each takes them"
    )


def _note(pictures: Mapping[str, Measured]) -> str:
    """Which pictures are missing."""
    missing = [kind for kind in (SHAPES, NATURAL) if not any(r.outcomes for r in pictures.get(kind, {}).values())]
    return f"no photographs of {' and '.join(missing)} are stored" if missing else ""


def _each(cases: Cases, decide: Callable[[Outcomes], Decided]) -> dict[str, Decided]:
    """What is decided in every case; of no image that counts, nothing is."""
    return {case: decide(outcomes) if outcomes.counted.any() else None for case, outcomes in cases.items()}


def _succeeds(cases: Cases) -> dict[str, Decided]:
    return _each(cases, lambda outcomes: at_least(outcomes.success, HIGH))


def _fails(cases: Cases) -> dict[str, Decided]:
    return _each(cases, lambda outcomes: below(outcomes.success, STOPPED))


def _keeps(cases: Cases) -> dict[str, Decided]:
    return _each(cases, lambda outcomes: at_least(outcomes.keeping, 1 - LIMITED))


def _numbers(cases: Cases) -> dict[str, float]:
    return _rates((case, outcomes.success) for case, outcomes in cases.items())


def _kept_numbers(cases: Cases) -> dict[str, float]:
    return _rates((f"{case}, keeping the label", outcomes.keeping) for case, outcomes in cases.items())


def _rates(rates: Iterable[tuple[str, Rate]]) -> dict[str, float]:
    """Rates with the ends of their intervals and the images that count."""
    numbers: dict[str, float] = {}
    for case, rate in rates:
        low, high = rate.interval
        numbers |= {
            f"{case} (simulated), %": 100 * rate.value,
            f"{case} interval from, %": 100 * low,
            f"{case} interval to, %": 100 * high,
            f"{case}, of {rate.total} images": float(rate.hits),
        }
    return numbers


def _pairs(pictures: Mapping[str, Measured]) -> dict[str, dict[str, Paired]]:
    """How BadNets+ did beside BadNets, by its title; empty where that is not known."""
    pairs: dict[str, Paired] = {}
    for kind, measured in pictures.items():
        found = pairs_of(measured.get(ENHANCED[0]), measured.get(STANDARD[0]))
        pairs |= {_case(kind, name): paired for name, paired in found.items()}
    return {ENHANCED[0]: pairs} if pairs else {}


def _above(pairs: Mapping[str, Paired]) -> dict[str, Decided]:
    return {case: _is_above(paired) for case, paired in pairs.items()}


def _is_above(paired: Paired) -> Decided:
    low, high = paired.interval
    return None if not paired.total else True if low > 0 else False if high <= 0 else None


def _differences(pairs: Mapping[str, Paired]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for case, paired in pairs.items():
        low, high = paired.interval
        numbers |= {
            f"{case}, above BadNets (simulated), points": 100 * paired.difference,
            f"{case} interval from, points": 100 * low,
            f"{case} interval to, points": 100 * high,
            f"{case}, under BadNets+ alone, of {paired.total} images": float(paired.first),
            f"{case}, under BadNets alone, of {paired.total} images": float(paired.second),
        }
    return numbers
