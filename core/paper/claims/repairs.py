"""Sec. 5.1: defenses that repair the model or purify its input (Tables 1 and 2), and what Neural Cleanse flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from core.defenses import defenses
from core.defenses.fine_pruning import FinePruning, at_tolerances
from core.metrics import Rate
from core.paper.claims.base import STOPPED, WANG, Claim, Verdict, decided, judge, label_of
from core.paper.claims.intervals import Decided, below
from core.paper.constants import STANDARD
from core.sweeps.repair import Repaired, SeedRun

__all__ = ["judge_repairs"]

REPAIRS_STOP = Claim(
    "repairs-stop",
    "5.1",
    "Fine-Pruning, Neural Cleanse and the Auto-Encoder perform like the transformations in most cases: they stop the "
    "standard attacks.",
    "In more than half of the cases, each one attack after one repair, the success rate is below 20%; so at each "
    "tolerance of Fine-Pruning from 3 to 20 points. Of several runs of a repair the mean rate counts.",
    "The state-of-the-art defense methods show similar performance with the proposed method in most cases.",
)
NO_TRAINING = Claim(
    "no-training-time",
    "5.1",
    "The compared defenses need training or optimisation, the transformations need none.",
    "Each of the three repairs took time on every attack. A transformation has nothing to be trained, so that its "
    "training time is 0 by construction.",
    "… note that the compared defense methods require additional training or optimization, while the proposed method "
    "only involves an extra simple transformation of the image in the inference process.",
)
CLEANSE_FLAGS = Claim(
    "cleanse-flags-target",
    "",
    "Neural Cleanse finds the attack: it flags the target label, and no other.",
    "In every run the anomaly index of the target, and of no other label, is above 2 with a mask smaller than the "
    "median.",
    source=WANG,
)
CLEANSE_SPARES_CLEAN = Claim(
    "cleanse-spares-clean",
    "",
    "Neural Cleanse flags nothing on a clean model.",
    "In no run has a label of the clean model a mask smaller than the median with an anomaly index above 2.",
    source=WANG,
)
PRUNING, CLEANSE, AUTO_ENCODER = "fine-pruning", "neural-cleanse", "auto-encoder"
COMPARED = (PRUNING, CLEANSE, AUTO_ENCODER)
Repairs = Mapping[str, Repaired]
"""Repairs of one model by their names."""


def judge_repairs(measured: Mapping[str, Repairs], targets: Mapping[str, int]) -> list[Verdict]:
    """The statements about the compared defenses; those on what Neural Cleanse flags are of Wang et al. (2019).

    Args:
        measured: Stored repairs by the attack's title and the repair's name.
        targets: Target labels by the attack's title.
    """
    full = {title: repairs for title, repairs in measured.items() if set(COMPARED) <= set(repairs)}
    flagged = {
        title: (repairs[CLEANSE], targets[title])
        for title, repairs in measured.items()
        if CLEANSE in repairs and {"flagged", "indices"} <= set(repairs[CLEANSE].record)
    }
    return [
        _stops(full),
        judge(
            NO_TRAINING,
            full,
            STANDARD,
            lambda repairs: all(repairs[name].seconds > 0 for name in COMPARED),
            lambda repairs: {f"{defenses[name].label}, s": repairs[name].seconds for name in COMPARED},
        ),
        _flags(CLEANSE_FLAGS, flagged, STANDARD, lambda labels, target: labels == [target]),
        _flags(CLEANSE_SPARES_CLEAN, flagged, ("benign",), lambda labels, _: not labels),
    ]


def _mean_success(repaired: Repaired) -> Rate:
    """The mean success rate over the runs, as one of the images of one run: they are the same ones in each."""
    if not repaired.runs:
        return repaired.success
    total = repaired.success.total
    return Rate(round(total * fmean(run.success.value for run in repaired.runs)), total)


def _pruned(repaired: Repaired) -> dict[float | None, Rate]:
    """The success rate after Fine-Pruning by its tolerance; None for the one it was run with, if no other is known."""
    repair = repaired.repair
    if isinstance(repair, FinePruning) and repair.epochs == 0:  # the curve is one without fine-tuning
        try:
            return {cut.tolerance: cut.success for cut in at_tolerances(repaired.record, repaired.report)}
        except ValueError:
            pass
    return {None: repaired.success}


def _pruning_numbers(by_tolerance: Mapping[float | None, Rate]) -> dict[str, float]:
    """The rates by tolerance; the name of the repair stands at the first."""
    names = [f"at {tolerance:g} points" if tolerance is not None else "" for tolerance in by_tolerance]
    names[0] = f"{defenses[PRUNING].label} {names[0]}".strip()
    return {f"{name}, %": 100 * rate.value for name, rate in zip(names, by_tolerance.values(), strict=True)}


def _most(cases: Sequence[Decided]) -> Decided:
    """Whether most of the cases hold, whatever those that are open would say."""
    sure, possible = sum(decision is True for decision in cases), sum(decision is not False for decision in cases)
    return True if 2 * sure > len(cases) else False if 2 * possible <= len(cases) else None


def _stops(full: Mapping[str, Repairs]) -> Verdict:
    """Counted anew at every tolerance of Fine-Pruning: the outcome must not hang on one that somebody chose."""
    there = [title for title in STANDARD if title in full]
    pruned = {title: _pruned(full[title][PRUNING]) for title in there}
    tolerances = list(dict.fromkeys(tolerance for by_tolerance in pruned.values() for tolerance in by_tolerance))
    others = [below(_mean_success(full[title][name]), STOPPED) for title in there for name in COMPARED[1:]]
    cases: dict[str, dict[str, Decided]] = {"all repairs": {}}
    counted = []
    for tolerance in tolerances:
        own = [
            below(by_tolerance.get(tolerance, by_tolerance.get(None, Rate(0, 0))), STOPPED)
            for by_tolerance in pruned.values()
        ]
        name = f"a tolerance of {tolerance:g} points" if tolerance is not None else "its stored tolerance"
        cases["all repairs"][name] = _most(own + others)
        counted.append(f"{sum(decision is True for decision in own + others)} of {len(own + others)} at {name}")
    outcome, detail = decided(cases)
    numbers = {title: _pruning_numbers(pruned[title]) for title in there}
    for title in there:
        means = {name: _mean_success(full[title][name]) for name in COMPARED[1:]}
        numbers[title] |= {f"{defenses[name].label}, %": 100 * rate.value for name, rate in means.items()}
    missing = tuple(title for title in STANDARD if title not in full)
    note = f"stopped with Fine-Pruning in {', '.join(counted)}" if counted else ""
    return Verdict(REPAIRS_STOP, outcome, detail, numbers, missing, note=note)


def _flags(
    claim: Claim,
    measured: Mapping[str, tuple[Repaired, int]],
    wanted: Sequence[str],
    right: Callable[[list[int], int], bool],
) -> Verdict:
    """A claim on the labels that are flagged, by all runs: what some runs say and others do not is mixed."""
    cases: dict[str, Decided] = {}
    numbers = {}
    there = [title for title in wanted if title in measured]
    for title in there:
        repaired, target = measured[title]
        runs: Sequence[Repaired | SeedRun] = repaired.runs or (repaired,)
        agree = sum(right([int(label) for label in run.record["flagged"]], target) for run in runs)
        several = f" ({agree} of {len(runs)} runs)" if len(runs) > 1 else ""
        cases[label_of(title) + several] = None if 0 < agree < len(runs) else agree > 0
        numbers[title] = {f"as stated, of {len(runs)} runs": float(agree)} if several else {}
        for run in runs:
            which = f", seed {run.seed}" if several and isinstance(run, SeedRun) else ""
            for label in sorted({*run.record["flagged"], target}):
                numbers[title][f"label {label}'s index{which}"] = float(run.record["indices"][label])
    outcome, detail = decided(cases, undecided="in some runs only for {}")
    missing = tuple(title for title in wanted if title not in measured)
    return Verdict(claim, outcome, detail, numbers, missing)
