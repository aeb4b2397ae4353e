"""Measures how long a rerun of each page of the application takes, and what it reads of the checkpoints.

    python scripts/page_speed.py
    python scripts/page_speed.py --pages defenses paper --checkpoint shapes10/resnet20/badnets --reruns 9 --json -

Without a browser: Streamlit's own test harness runs the page's script, a few times until what it needs is loaded, and
then again and again with nothing changed, as a click on the page does. Cards and results are counted
as their files are parsed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from unittest.mock import patch

from command import Parser, add_common, run, say, write_json
from streamlit.testing.v1 import AppTest

from core.schemas.base import read_json
from core.store import Card

PAGES: dict[str, dict[str, str]] = {
    "lesson": {},
    "location": {},
    "appearance": {},
    "defenses": {},
    "defenses, repairs": {"part": "repairs"},
    "defenses, cost": {"part": "cost"},
    "enhanced": {},
    "saliency": {},
    "physical": {},
    "train": {},
    "paper": {},
    "paper, figures": {"view": "figures"},
}
"""Parts of pages by their names, with what their links say; a name begins with the module of the page."""
LONGEST = 120
"""Seconds that a run of a page may take."""
WARM_UP, PAUSE = 4, 1.5
"""Runs of a page before it is measured, and seconds after each, in which models are compiled and jobs end."""


@dataclass(frozen=True)
class Reruns:
    """Reruns of one page with nothing changed.

    Attributes:
        page: Its name in :data:`PAGES`.
        milliseconds: Median time of a rerun.
        fastest: The shortest of them, in milliseconds.
        cards: Cards parsed in one rerun.
        results: Files of results parsed in one rerun.
        first: Milliseconds of the first run, which loads models and images.
    """

    page: str
    milliseconds: float
    fastest: float
    cards: int
    results: int
    first: float


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """Counts the files of checkpoints that are parsed meanwhile: ``cards`` and ``results``."""
    counts = {"cards": 0, "results": 0}
    from_json = Card.from_json

    def card_counted(text: str | bytes) -> Card:
        counts["cards"] += 1
        return from_json(text)

    def result_counted(path: Any) -> Any:
        counts["results"] += 1
        return read_json(path)

    with patch.object(Card, "from_json", card_counted), patch("core.store.local.read_json", result_counted):
        yield counts


def reruns(page: str, checkpoint: str, times: int) -> Reruns:
    """Measures a page.

    Args:
        page: Its name in :data:`PAGES`.
        checkpoint: Key of the model it shows.
        times: Reruns to take the median of.

    Raises:
        ValueError: If the page stops with an error.
    """
    module = page.partition(",")[0]
    test = AppTest.from_string(f"from dashboard.views import {module}\n{module}.show()", default_timeout=LONGEST)
    for name, value in ({"model": checkpoint} | PAGES[page]).items():
        test.query_params[name] = value
    taken = []
    with counted() as counts:
        for number in range(WARM_UP + times):
            if number == WARM_UP:
                counts.update(cards=0, results=0)
            start = time.perf_counter()
            test.run()
            taken.append(1000 * (time.perf_counter() - start))
            if test.exception:
                raise ValueError(f"the page {page} stops: {test.exception[0].value}")
            if number < WARM_UP:
                time.sleep(PAUSE)
    again = taken[WARM_UP:]
    each = {name: round(count / times) for name, count in counts.items()}
    return Reruns(page, round(statistics.median(again), 1), round(min(again), 1), first=round(taken[0], 1), **each)


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", nargs="+", choices=list(PAGES), default=list(PAGES), metavar="PAGE")
    parser.add_argument("--checkpoint", default="shapes10/resnet20/badnets", metavar="DATASET/MODEL/ATTACK")
    parser.add_argument("--reruns", type=int, default=7, help="reruns of each page (default 7)")
    add_common(parser)
    options = parser.parse_args()
    if options.reruns < 1:
        raise ValueError(f"--reruns = {options.reruns} is not allowed: an integer from 1 up")
    os.environ["TRIGGER_CHECKPOINTS"] = options.store
    measured = []
    say(options, f"{'page':20} {'ms a rerun':>10} {'fastest':>8} {'cards':>6} {'results':>8} {'first ms':>9}")
    for page in options.pages:
        measured.append(reruns(page, options.checkpoint, options.reruns))
        one = measured[-1]
        say(options, f"{page:20} {one.milliseconds:10} {one.fastest:8} {one.cards:6} {one.results:8} {one.first:9}")
    write_json(options.json, {"checkpoint": options.checkpoint, "pages": [asdict(page) for page in measured]})


if __name__ == "__main__":
    run(main)
