"""Tables of simulated photographs of prints (Fig. 11, 12): over ranges of places, at presets, and factor by factor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from core import formatting
from core.data.natural import NATURAL
from core.metrics import Rate
from core.paper.claims.physical import SHAPES
from core.paper.constants import PHOTOGRAPHS
from core.paper.placements import Placement, placements
from core.paper.tables.base import Models, Row, pair, percent, results_by_network
from core.physical import FACTORS
from core.sweeps.physical import PhysicalResult
from core.sweeps.results import StoredResults

# What of a photograph the network gets, apart from the whole.
FRAMED = {"crop": "cropped", "perspective": "seen straight", "area": "antialiased"}


def physical(checkpoints: Models) -> Iterator[Row]:
    """Fig. 11: success over the ranges, on images whose benign photograph is recognised, beside the standard attack."""
    columns = ("n", "ASR", "keeps its label", "ASR above the standard attack's (points)")
    yield ["simulated photographs (%)", *(f"{name}: {what}" for name in PHOTOGRAPHS for what in columns)]
    for network, results in results_by_network(checkpoints).items():
        yield from _by_attack(network, results.photographs, _placed, len(columns))


def other_pictures(checkpoints: Models) -> Iterator[Row]:
    """Fig. 12: the same on pictures unlike the training's, that are not taken for the target without the trigger."""
    columns = ("n", "ASR", "ASR above the standard attack's (points)")
    yield ["simulated photographs (%)", "pictures", *(f"{name}: {what}" for name in PHOTOGRAPHS for what in columns)]
    for network, results in results_by_network(checkpoints).items():
        for kind, measured in ((SHAPES, results.other_pictures), (NATURAL, results.natural_pictures)):
            for first, *cells in _by_attack(network, measured, _placed_elsewhere, len(columns)):
                yield [first, kind, *cells]


def _by_attack(
    network: str, measured: Mapping[str, PhysicalResult], cells: Callable[[Placement], Row], width: int
) -> Iterator[Row]:
    """A row for each attack: its cells near, then far; those that are not measured are empty."""
    found: dict[str, dict[str, Row]] = {}
    for one in placements(measured):
        found.setdefault(one.title, {})[one.name] = cells(one)
    for title in (*found, *(title for title in measured if title not in found)):
        by_range = found.get(title, {})
        yield [f"{network}/{title}", *(cell for name in PHOTOGRAPHS for cell in by_range.get(name, [""] * width))]


def _placed(one: Placement) -> Row:
    n, success, above = _placed_elsewhere(one)
    return [n, success, _shown(one.outcomes.keeping) if one.keeps else "", above]


def _placed_elsewhere(one: Placement) -> Row:
    success = one.outcomes.success
    return [str(success.total), _shown(success), _above(one)]


def _shown(rate: Rate) -> str:
    return percent(rate) if rate.total else ""


def _above(one: Placement) -> str:
    """The difference to the standard attack with its interval, and the images that count for both."""
    if one.beside is None or not one.beside.total:
        return ""
    ends = formatting.interval(one.beside.interval, " to ")
    return f"{formatting.percent(one.beside.difference)} ({ends}; n = {one.beside.total})"


def presets(checkpoints: Models) -> Iterator[Row]:
    """Fig. 11 and 12 at the presets: whole, cut out, and of pictures of Shapes-10."""
    columns = [("off", "preset", "not printed"), *((name, "preset", name) for name in PHOTOGRAPHS)]
    columns += [(name, group, f"{name}, {text}") for group, text in FRAMED.items() for name in PHOTOGRAPHS]
    head = ["simulated photographs: ASR / clean accuracy (%)", "n", *(text for *_, text in columns)]
    yield [*head, f"{SHAPES}, near", "far"]
    for checkpoint, _ in checkpoints:
        stored = StoredResults(checkpoint)
        result, shapes = stored.physical, stored.out_of_sample
        if result is None:
            continue
        pairs = [result.of(group)[name] for name, group, _ in columns]
        cells = [pair(success, clean) for clean, success in pairs]
        others = shapes.of("preset") if shapes else {}
        near_and_far = [formatting.percent(others[name].success.value) if others else "" for name in PHOTOGRAPHS]
        yield [checkpoint.key, str(result.total.max()), *cells, *near_and_far]


def factors(checkpoints: Models) -> Iterator[Row]:
    """The attack success rate with one factor of the photograph alone, and with all but one."""
    yield ["simulated photographs: ASR (%), alone / all but it", *FACTORS]
    for checkpoint, _ in checkpoints:
        result = StoredResults(checkpoint).physical
        if result is not None:
            only, without = result.of("only"), result.of("without")
            cells = [pair(only[name][1], without[name][1]) for name in FACTORS]
            yield [checkpoint.key, *cells]
