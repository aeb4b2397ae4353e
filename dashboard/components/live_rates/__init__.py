"""Success rates that follow the trigger in the browser.

A Streamlit custom component (v2, in the page itself, no shadow root: it shows what
:func:`dashboard.figures.html.rate_bars` draws). While the trigger is dragged, the numbers come from the counts that the
browser has; those it lacks are dimmed until the next run of the script brings them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.components.channel import Component
from dashboard.figures.html import Reading, rate_bars

__all__ = ["Answer", "Answered", "live_rates"]

_component = Component("live_rates", ("shared.js", "rates.js"), isolate_styles=False)


@dataclass(frozen=True)
class Answered:
    """What the browser can answer for one model.

    Attributes:
        reading: Its rate at the place that the script knows.
        file: Address of the stored counts of every place, or None.
        live: Counts of the places measured since, as :func:`dashboard.server.places.packed` writes them, or None.
        measurable: Whether the server can measure what is known nowhere.
    """

    reading: Reading
    file: str | None
    live: dict[str, Any] | None
    measurable: bool


@dataclass(frozen=True)
class Answer:
    """What a page's sentence about the first model is made of, besides its rate.

    Attributes:
        trained: Row and column that the trigger was trained at.
        target: Name of the target class.
        control: Whether the model has no backdoor.
    """

    trained: tuple[int, int]
    target: str
    control: bool

    def sent(self, reading: Reading) -> dict[str, Any]:
        """As the browser gets it, with the rate that the script knows."""
        sentence = {"trained": list(self.trained), "target": self.target, "control": self.control}
        return sentence | {"here": reading.rate.to_dict() if reading.rate.total else None}


def live_rates(
    models: Sequence[Answered],
    *,
    place: tuple[int, int],
    key: str,
    sliders: tuple[str, str] | None = None,
    answer: Answer | None = None,
) -> None:
    """Draw the rates, the first one large.

    Args:
        models: The models, in order.
        place: Row and column that the readings belong to.
        key: Streamlit key, unique in the session.
        sliders: Streamlit keys of two sliders on the page that are followed while they are held, in place of the
            trigger's row and column; counts then belong to exactly their values.
        answer: What the sentence under the page's title is made of, which then follows the trigger too.
    """
    _component.draw(
        key,
        {
            "html": rate_bars([model.reading for model in models], f"{place[0]},{place[1]}"),
            "place": list(place),
            "sliders": sliders,
            # In a tuple: of a dictionary, Streamlit asks whether it is a table, and loads pandas for that.
            "answer": (answer.sent(models[0].reading),) if answer is not None else None,
            "models": [
                {
                    "colour": model.reading.colour,
                    "file": model.file,
                    "live": model.live,
                    "measurable": model.measurable,
                }
                for model in models
            ],
        },
    )
