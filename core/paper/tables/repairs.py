"""Tables of repairs: what each leaves of attack and accuracy, what it costs, and what it finds (Tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterator

from core import formatting
from core.defenses import defenses
from core.defenses.fine_pruning import TOLERANCES, at_tolerances
from core.paper.constants import PAPER_MODELS
from core.paper.numbers import paper_number, paper_seconds
from core.paper.tables.base import Models, Row, pair, paper_pair, results_by_network
from core.sweeps.results import StoredResults


def repairs(checkpoints: Models) -> Iterator[Row]:
    """Table 1, the repairs: attack success and clean accuracy on the half of the test set they have not seen."""
    yield ["ASR / clean accuracy (%)", "n", "Standard", *(defenses[name].label for name in defenses)]
    papers: dict[str, None] = {}
    for checkpoint, card in checkpoints:
        stored = StoredResults(checkpoint).repairs
        if not stored:
            continue
        first = next(iter(stored.values()))
        cells = [pair(stored[name].success, stored[name].clean) if name in stored else "" for name in defenses]
        yield [checkpoint.key, str(first.success.total), pair(first.success_before, first.clean_before), *cells]
        if card.dataset == "cifar10":
            papers[card.attack_object.title] = None
    for title in papers:
        for model in PAPER_MODELS:
            numbers = [paper_number(model, title, name) for name in ("", *defenses)]
            if any(numbers[1:]):
                yield [f"*paper*: {model}/{title}", "", *map(paper_pair, numbers)]


def times(checkpoints: Models) -> Iterator[Row]:
    """Table 2: the mean seconds of every repair over the standard attacks, the paper's, and ours of every model."""
    yield ["seconds", *(defenses[name].label for name in defenses)]
    for checkpoint, _ in checkpoints:
        stored = StoredResults(checkpoint).repairs
        if stored:
            spent = (formatting.seconds(stored[name].seconds) if name in stored else "" for name in defenses)
            yield [checkpoint.key, *spent]
    for network, results in results_by_network(checkpoints).items():
        means = {name: mean for name in defenses if (mean := results.seconds(name)) is not None}
        if means:
            attacks = ", ".join(dict.fromkeys(title for mean in means.values() for title in mean.attacks))
            cells = (f"**{formatting.seconds(means[name].mean)}**" if name in means else "" for name in defenses)
            yield [f"**Table 2**: {network}, mean of {attacks}", *cells]
    for model in PAPER_MODELS:
        numbers = [paper_seconds(model, name) for name in defenses]
        yield [f"*paper*: {model}", *(formatting.seconds(spent) for spent in numbers)]


def tolerances(checkpoints: Models) -> Iterator[Row]:
    """Fine-Pruning by the clean accuracy that may be lost: both rates on the practical half, and what is pruned."""
    yield ["ASR / clean accuracy (%), channels", "n", *(f"{points:g} points" for points in TOLERANCES)]
    for checkpoint, _ in checkpoints:
        result = StoredResults(checkpoint).repair("fine-pruning")
        if result is not None:
            cuts = at_tolerances(result.record, result.report)
            cells = [
                f"{formatting.percent(c.success.value)} / {formatting.percent(c.clean.value)}, {c.channels}"
                for c in cuts
            ]
            yield [checkpoint.key, str(cuts[0].success.total), *cells]


def flagged(checkpoints: Models) -> Iterator[Row]:
    """What Neural Cleanse finds with several seeds: its anomaly index, what is flagged, and what that leaves."""
    yield [
        "model",
        "target",
        "seeds",
        "smallest mask",
        "its index",
        "target's index",
        "flagged",
        "ASR / clean accuracy (%)",
    ]
    for checkpoint, card in checkpoints:
        result = StoredResults(checkpoint).repair("neural-cleanse")
        if result is None:
            continue
        runs, classes, goal = result.runs or (result,), card.classes, card.attack_object.target
        clean = card.attack_object.name in ("benign", "robust")
        smallest, flags = [], []
        for run in runs:
            sizes = [float(size) for size in run.record["norms"]]
            label = sizes.index(min(sizes))
            smallest.append((classes[label], float(run.record["indices"][label])))
            flags.append(", ".join(classes[label] for label in run.record["flagged"]) or "none")
        yield [
            checkpoint.key,
            "none" if clean else classes[goal],
            str(len(runs)),
            ", ".join(dict.fromkeys(name for name, _ in smallest)),
            _range([index for _, index in smallest], 2),
            "" if clean else _range([float(run.record["indices"][goal]) for run in runs], 2),
            "; ".join(f"{flag} ({flags.count(flag)} of {len(flags)})" for flag in dict.fromkeys(flags)),
            f"{_range([100 * r.success.value for r in runs])} / {_range([100 * r.clean.value for r in runs])}",
        ]


def _range(values: list[float], places: int = 1) -> str:
    """Lowest and highest of several values."""
    low, high = (f"{value:.{places}f}" for value in (min(values), max(values)))
    return low if low == high else f"{low}-{high}"
