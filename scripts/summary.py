"""Prints the stored results of all checkpoints as Markdown tables, or puts them into files.

    python scripts/summary.py
    python scripts/summary.py --update README.md checkpoints/README.md

In a file, the table NAME stands between the lines ``<!-- table: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from command import Parser, add_common, run, say, write_json

from core import formatting
from core.defenses import defenses
from core.defenses.fine_pruning import TOLERANCES, at_tolerances
from core.metrics import Rate
from core.paper.claims import Verdict
from core.paper.claims.base import LI, label_of, reading
from core.paper.constants import (
    ATTACKS,
    DISTANCES,
    PAPER_MODELS,
    PHOTOGRAPHS,
    ROWS,
    SHRINK,
    SHRINKPAD,
    SHRINKPAD_LABEL,
    SPATIAL,
    VALUE_SHIFTS,
    VALUES,
)
from core.paper.numbers import PaperNumber, paper_number, paper_seconds
from core.paper.results import Results
from core.physical import FACTORS
from core.runtime.atomic_files import write_atomically
from core.store.card import Card, Damaged
from core.store.local import Checkpoint, Store
from core.store.remote import open_store
from core.sweeps.results import StoredResults
from core.transforms import transform_from_spec
from core.transforms.spatial import LARGEST

# What of a photograph the network gets, apart from the whole.
FRAMED = {"crop": "cropped", "perspective": "seen straight", "area": "antialiased"}

Row = list[str]
Models = list[tuple[Checkpoint, Card]]
Table = Callable[[Models], Iterator[Row]]


def percent(rate: Rate, *, interval: bool = True) -> str:
    """A rate in percent, with its 95% interval."""
    shown = formatting.percent(rate.value, "%")
    return f"{shown} ({formatting.interval(rate.interval, '-')})" if interval else shown


def pair(first: Rate, second: Rate) -> str:
    """Two rates in percent, such as attack success and clean accuracy."""
    return f"{formatting.percent(first.value)} / {formatting.percent(second.value)}"


def readable(store: Store) -> Models:
    """All readable checkpoints: data set by data set, the clean models first."""

    def place(checkpoint: Checkpoint, card: Card) -> tuple[object, ...]:
        base, plus, suffix = checkpoint.key.rpartition("/")[2].partition("+")
        return (card.dataset, card.model, ROWS.index(base) if base in ROWS else len(ROWS), base, plus, suffix)

    cards = [(store.checkpoint(key), card) for key, card in store.cards() if not isinstance(card, Damaged)]
    return sorted(cards, key=lambda pair: place(*pair))


def models(checkpoints: Models) -> Iterator[Row]:
    """What every model is and can do, from its card."""
    yield ["model", "clean accuracy", "attack success rate", "recipe", "epochs"]
    for checkpoint, card in checkpoints:
        name, epochs = card.recipe["name"], card.recipe["params"].get("epochs", "")
        optimizer = card.recipe["params"].get("optimizer", "sgd")
        rates = percent(card.clean_accuracy), percent(card.attack_success_rate)
        if card.is_imported:
            yield [checkpoint.key, *rates, "imported", ""]
            continue
        yield [checkpoint.key, *rates, f"{name} ({optimizer})", str(epochs)]


def location(checkpoints: Models) -> Iterator[Row]:
    """Fig. 4: the rate at the training location, and the highest at some distances from it."""
    away = (f"highest {d} pixel{'s' if d > 1 else ''} away (of so many places)" for d in DISTANCES)
    yield ["model", "at the training location", *away]
    for checkpoint, card in checkpoints:
        result = StoredResults(checkpoint).location
        if result is not None:
            place = card.attack_object.trigger(card.shape).location
            highest = [result.highest_at_distance(place, distance) for distance in DISTANCES]
            shown = [f"{percent(one.rate)} of {one.places}" for one in highest]
            yield [f"{checkpoint.key} (n = {result.total.max()})", percent(result.at(*place)), *shown]


def appearance(checkpoints: Models) -> Iterator[Row]:
    """Fig. 5: the rate at some pixel values."""
    yield ["model", *(f"value {value}" for value in VALUES)]
    for checkpoint, _ in checkpoints:
        result = StoredResults(checkpoint).appearance
        if result is not None:
            shown = (percent(result.at(value), interval=False) for value in VALUES)
            yield [f"{checkpoint.key} (n = {result.total.max()})", *shown]


def behind(specs: tuple[str, ...]) -> Table:
    """A table of the attack success rate and the clean accuracy under some defenses, the paper's rows beside ours."""

    def table(checkpoints: Models) -> Iterator[Row]:
        labels = [transform_from_spec(spec).label for spec in specs]
        yield ["ASR / clean accuracy (%)", "n", "Standard", *labels]
        papers: dict[str, None] = {}
        for checkpoint, card in checkpoints:
            curves = StoredResults(checkpoint).strengths
            steps = [transform_from_spec(spec).steps[0] for spec in specs]
            if not all(step.name in curves and step.value in curves[step.name].strengths for step in steps):
                continue
            first = curves[steps[0].name]
            pairs = [first.at(first.strengths[0]), *(curves[step.name].at(step.value) for step in steps)]
            cells = [pair(success, clean) for clean, success in pairs]
            yield [checkpoint.key, str(pairs[0][1].total), *cells]
            if card.dataset == "cifar10":
                papers[card.attack_object.title] = None
        for title in papers:
            for model in PAPER_MODELS:
                numbers = [paper_number(model, title, spec) for spec in ("", *specs)]
                if any(numbers):
                    yield [f"*paper*: {model}/{title}", "", *map(_paper_pair, numbers)]

    return table


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
                yield [f"*paper*: {model}/{title}", "", *map(_paper_pair, numbers)]


def _paper_pair(number: PaperNumber | None) -> str:
    """The paper's two rates; of one that it has not, a dash."""
    return "" if number is None else f"{formatting.number(number.success)} / {formatting.number(number.clean) or '-'}"


def times(checkpoints: Models) -> Iterator[Row]:
    """Table 2: the mean seconds of every repair over the standard attacks, the paper's, and ours of every model."""
    yield ["seconds", *(defenses[name].label for name in defenses)]
    for checkpoint, _ in checkpoints:
        stored = StoredResults(checkpoint).repairs
        if stored:
            spent = (formatting.seconds(stored[name].seconds) if name in stored else "" for name in defenses)
            yield [checkpoint.key, *spent]
    for network, results in _results(checkpoints).items():
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
        for one in runs:
            sizes = [float(size) for size in one.record["norms"]]
            label = sizes.index(min(sizes))
            smallest.append((classes[label], float(one.record["indices"][label])))
            flags.append(", ".join(classes[label] for label in one.record["flagged"]) or "none")
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


def max_shrink(checkpoints: Models) -> Iterator[Row]:
    """Fig. 14: enhanced attacks by the largest shrink size they were trained with."""
    yield [f"ASR (%) / behind {SHRINKPAD_LABEL}", *(f"max {size}" for size in range(LARGEST + 1))]
    for name, results in _results(checkpoints).items():
        for title, curves in results.ablation().items():
            if len(curves) > 1:
                shown = {n: pair(*(curve.at(size).success for size in (0, SHRINK))) for n, curve in curves.items()}
                cells = (shown.get(n, "") for n in range(LARGEST + 1))
                yield [f"{name}/{title}", *cells]


def saliency(checkpoints: Models) -> Iterator[Row]:
    """Fig. 10 as numbers: share of the saliency inside the trigger, and of the image that the trigger covers."""
    head = [
        "share of the saliency inside the trigger",
        "n",
        "attacked",
        f"behind {SHRINKPAD_LABEL}",
        "area",
        "area then",
    ]
    yield [*head, "most salient pixel on it", "and then"]
    for checkpoint, _ in checkpoints:
        result = StoredResults(checkpoint).saliency
        if result is not None:
            kinds = (result.attacked, result.transformed)
            halves = [formatting.percent((kind.interval[1] - kind.interval[0]) / 2) for kind in kinds]
            shares = [
                f"{formatting.percent(kind.mean, '%')} (±{half})" for kind, half in zip(kinds, halves, strict=True)
            ]
            areas = [formatting.percent(kind.area, "%") for kind in kinds]
            peaks = [percent(kind.peak_rate) for kind in kinds]
            yield [checkpoint.key, str(result.seen), *shares, *areas, *peaks]


def physical(checkpoints: Models) -> Iterator[Row]:
    """Fig. 11 and 12: success on simulated photographs of prints, whole, cut out, and of other pictures."""
    columns = [("off", "preset", "not printed"), *((name, "preset", name) for name in PHOTOGRAPHS)]
    columns += [(name, group, f"{name}, {text}") for group, text in FRAMED.items() for name in PHOTOGRAPHS]
    yield ["ASR / clean accuracy (%)", "n", *(text for *_, text in columns), "other pictures, near", "far"]
    for checkpoint, _ in checkpoints:
        stored = StoredResults(checkpoint)
        result, strange = stored.physical, stored.out_of_sample
        if result is None:
            continue
        pairs = [result.of(group)[name] for name, group, _ in columns]
        cells = [pair(success, clean) for clean, success in pairs]
        others = [formatting.percent(strange.of("preset")[name][1].value) if strange else "" for name in PHOTOGRAPHS]
        yield [checkpoint.key, str(result.total.max()), *cells, *others]


def factors(checkpoints: Models) -> Iterator[Row]:
    """The attack success rate with one factor of the photograph alone, and with all but one."""
    yield ["ASR (%), alone / all but it", *FACTORS]
    for checkpoint, _ in checkpoints:
        result = StoredResults(checkpoint).physical
        if result is not None:
            only, without = result.of("only"), result.of("without")
            cells = [pair(only[name][1], without[name][1]) for name in FACTORS]
            yield [checkpoint.key, *cells]


def claims_of(is_wanted: Callable[[str], bool]) -> Table:
    """A table of the statements of some sources: each as it is put there, our rule, the verdicts and their numbers."""

    def table(checkpoints: Models) -> Iterator[Row]:
        yield ["statement, *and our rule*", "model", "verdict", "numbers"]
        judged = {name: results.verdicts() for name, results in _results(checkpoints).items()}
        for index in range(len(next(iter(judged.values()), ()))):
            said = ""
            for name, verdicts in judged.items():
                verdict, claim = verdicts[index], verdicts[index].claim
                if not is_wanted(claim.source):
                    continue
                first = f"{claim.where}: {claim.quote or claim.text} *{claim.rule}*"
                shown = [f"{label_of(attack)}: {_numbers(numbers)}" for attack, numbers in verdict.numbers.items()]
                yield ["" if said == first else first, name, _verdict(verdict), "; ".join(shown)]
                said = first

    return table


def _verdict(verdict: Verdict) -> str:
    """The sentence of a verdict, its outcome in bold."""
    head = f"{verdict.only}: " if verdict.only else ""
    return head + f"**{verdict.outcome}**" + (f": {verdict.why}" if verdict.why else "")


def _results(checkpoints: Models) -> dict[str, Results]:
    """Everything stored of every network and data set, by ``dataset/model``."""
    networks = dict.fromkeys((card.dataset, card.model) for _, card in checkpoints)
    roots = [Store(checkpoint.folder.parents[2]) for checkpoint, _ in checkpoints[:1]]
    return {f"{data}/{model}": Results.read(root, data, model) for root in roots for data, model in networks}


def _numbers(numbers: Mapping[str, float]) -> str:
    return ", ".join(reading(name, value) for name, value in numbers.items())


def without_ablation(table: Table) -> Table:
    """A table without the models that differ only in the largest shrink size; they have a table of their own."""
    return lambda checkpoints: table([one for one in checkpoints if "+max" not in one[0].key])


def headline(checkpoints: Models) -> Iterator[Row]:
    """Standard against enhanced attacks: attack success rates where the trigger is changed, on CIFAR-10."""
    yield [
        "ASR (%)",
        "as trained",
        "moved up 1 pixel",
        "flipped",
        f"shrunk ({SHRINKPAD_LABEL})",
        "photographed from near",
    ]
    for name, results in _results(checkpoints).items():
        if not name.startswith("cifar10/"):
            continue
        for title in ATTACKS:
            if title not in results.cards:
                continue
            card = results.cards[title]
            trigger = card.attack_object.trigger(card.shape)
            moved = results.maps[title].at(trigger.row - 1, trigger.col) if title in results.maps else None
            printed = results.photographs[title].of("preset").get("near") if title in results.photographs else None
            rates = [results.rate(title, spec, "asr") for spec in ("", "flip", SHRINKPAD)]
            rates = [rates[0], moved, *rates[1:], printed[1] if printed else None]
            yield [label_of(title), *(formatting.percent(rate.value) if rate else "" for rate in rates)]


TABLES: dict[str, Table] = {
    "headline": without_ablation(headline),
    "models": without_ablation(models),
    "location": without_ablation(location),
    "appearance": without_ablation(appearance),
    "spatial": without_ablation(behind(SPATIAL)),
    "values": without_ablation(behind(VALUE_SHIFTS)),
    "repairs": without_ablation(repairs),
    "tolerances": without_ablation(tolerances),
    "times": without_ablation(times),
    "flagged": without_ablation(flagged),
    "max-shrink": max_shrink,
    "saliency": without_ablation(saliency),
    "physical": without_ablation(physical),
    "factors": without_ablation(factors),
    "claims": without_ablation(claims_of(lambda source: source == LI)),
    "claims-of-others": without_ablation(claims_of(lambda source: source != LI)),
}


def markdown(rows: Iterator[Row]) -> str:
    """Rows as a Markdown table, the first one being its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    head = lines[0].count("|") - 1
    return "\n".join([lines[0], "|" + "---|" * head, *lines[1:]])


def updated(text: str, tables: dict[str, str]) -> str:
    """A text with its marked tables replaced.

    Raises:
        ValueError: If it marks a table that there is not.
    """

    def replace(match: re.Match[str]) -> str:
        if match[2] not in tables:
            raise ValueError(f"there is no table {match[2]!r}; there are {', '.join(tables)}")
        return f"{match[1]}{tables[match[2]]}\n{match[3]}"

    return re.sub(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", replace, text, flags=re.DOTALL)


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", type=Path, nargs="+", metavar="FILE", help="put the tables into these files")
    add_common(parser)
    options = parser.parse_args()
    checkpoints = readable(open_store(options.store))
    if not checkpoints:
        raise ValueError(f"there is no checkpoint in {options.store}")
    tables = {name: markdown(make(checkpoints)) for name, make in TABLES.items()}
    for path in options.update or ():
        write_atomically(path, updated(path.read_text(), tables).encode())
    if not options.update:
        say(options, "\n\n".join(f"{name}\n\n{table}" for name, table in tables.items()))
    write_json(options.json, {name: list(make(checkpoints)) for name, make in TABLES.items()})


if __name__ == "__main__":
    run(main)
