"""Tables of the paper's statements, and the one that says most: standard against enhanced attacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from core import formatting
from core.models import models
from core.paper.claims import Verdict
from core.paper.claims.base import NOT_MEASURED, label_of, reading
from core.paper.constants import ATTACKS, PAPER_MODELS, SHRINKPAD, SHRINKPAD_LABEL
from core.paper.results import Results
from core.paper.tables.base import Models, Row, Table, results_by_network


def claims_of(is_wanted: Callable[[str], bool]) -> Table:
    """A table of the statements of some sources: each as it is put there, our rule, the verdicts and their numbers.

    Of a network of which not every attack is stored, what could not be judged is left out.
    """

    def table(checkpoints: Models) -> Iterator[Row]:
        yield ["statement, *and our rule*", "model", "verdict", "numbers"]
        networks = results_by_network(checkpoints)
        judged = {name: results.verdicts() for name, results in networks.items()}
        partial = {name for name, results in networks.items() if not set(ATTACKS) <= set(results.cards)}
        for index in range(len(next(iter(judged.values()), ()))):
            last = ""
            for name, verdicts in judged.items():
                verdict, claim = verdicts[index], verdicts[index].claim
                if not is_wanted(claim.source) or (name in partial and verdict.outcome == NOT_MEASURED):
                    continue
                first = f"{claim.where}: {claim.quote or claim.text} *{claim.rule}*"
                shown = [f"{label_of(attack)}: {_numbers(numbers)}" for attack, numbers in verdict.numbers.items()]
                yield ["" if last == first else first, name, _verdict(verdict), "; ".join(shown)]
                last = first

    return table


def _verdict(verdict: Verdict) -> str:
    """The sentence of a verdict, its outcome in bold."""
    head = f"{verdict.only}: " if verdict.only else ""
    return head + f"**{verdict.outcome}**" + (f": {verdict.why}" if verdict.why else "")


def _numbers(numbers: Mapping[str, float]) -> str:
    return ", ".join(reading(name, value) for name, value in numbers.items())


def headline(checkpoints: Models) -> Iterator[Row]:
    """Standard against enhanced attacks: attack success rates where the trigger is changed, on CIFAR-10."""
    found = {
        results.model: list(_headline_of(results))
        for results in results_by_network(checkpoints).values()
        if results.dataset == "cifar10"
    }
    whole = [model for model, rows in found.items() if len(rows) == len(ATTACKS) and all(map(all, rows))]
    # The paper's first network, once all of its cells are measured: networks are not mixed in one table.
    chosen = min(whole or found, key=lambda model: model != PAPER_MODELS[0], default="")
    yield [
        f"ASR (%){f', {models[chosen].label}' if chosen else ''}",
        "as trained",
        "moved up 1 pixel",
        "flipped",
        f"shrunk ({SHRINKPAD_LABEL})",
        "photographed from near (simulated)",
    ]
    yield from found.get(chosen, [])


def _headline_of(results: Results) -> Iterator[Row]:
    """A row for each attack on one network; cells that are not measured are empty."""
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
