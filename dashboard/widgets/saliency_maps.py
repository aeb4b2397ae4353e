"""Saliency maps of an attacked image, as it is and behind a transformation: computed, drawn, saved (Fig. 10)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import streamlit as st
import torch
from torch import Tensor

from core.attribution import measures
from core.attribution.methods import Method, displayed, methods
from core.attribution.together import takes
from core.metrics import Rate
from core.runtime.seeding import generator_for
from core.sweeps.saliency import targets_of
from core.sweeps.saliency_examples import shown_twice
from core.transforms import Compose
from core.trigger import Trigger
from dashboard.figures.heatmap import PICTURE_STYLE, heat, overlaid
from dashboard.figures.panels import Block, Panel, block_html
from dashboard.saving.names import Entry, Mean, Source, table
from dashboard.saving.tables import MASS, POINTING
from dashboard.server.resources import Tested, explained, explained_together, jobs
from dashboard.server.subjects import Subject
from dashboard.words.escaping import plain

__all__ = [
    "DRAWS",
    "WHOSE",
    "Asked",
    "Maps",
    "blocks_of",
    "can_show",
    "colour_bar",
    "is_drawn",
    "largest_of",
    "map_rows",
    "maps_html",
    "maps_of",
    "name_of",
    "recent",
    "stored_example",
    "what_is_stored",
]

DRAWS = 20
"""How many draws of a transformation can be looked at."""


WHOSE = {"target": "the target label", "predicted": "the predicted class", "true": "the true class"}
"""Whose logit is explained, for people, by :data:`core.sweeps.saliency.TARGETS`."""


@dataclass(frozen=True)
class Asked:
    """What is asked of every model: how, whose logit, behind what, shown how.

    Attributes:
        method: The saliency method.
        explain: Whose logit is explained, one of :data:`core.sweeps.saliency.TARGETS`.
        before: The transformation.
        layout: ``beside`` for image and map, ``overlay`` for the map over the image.
        draw: Which of the transformation's draws, from 1.
        common: Whether all maps that are shown together have one scale.
        usual: Text of the transformation that stored results are behind.
    """

    method: Method
    explain: str
    before: Compose
    layout: str
    draw: int = 1
    common: bool = False
    usual: str = "shrinkpad"

    @property
    def is_stored(self) -> bool:
        """Whether results for it are stored: the paper's method, the target's logit, behind ShrinkPad-4."""
        return self.method == methods["gradient"]() and self.explain == "target" and self.is_behind_shrinkpad

    @property
    def is_behind_shrinkpad(self) -> bool:
        """Whether the transformation is the one that stored results are behind."""
        return self.before.spec == self.usual


@dataclass(frozen=True)
class Maps:
    """The two maps of one model: of the stamped image, and of it behind the transformation.

    Attributes:
        subject: The model.
        trigger: What is stamped.
        images: What the model gets, floats ``(2, C, H, W)`` in [0, 1].
        masks: Where the trigger is, floats ``(2, 1, H, W)`` in [0, 1].
        saliency: The maps, floats ``(2, H, W)``, not negative.
        predicted: What the model says, int64 ``(2,)``.
        stored: Whether the maps are stored ones, which are for display: each on its own scale, of 256 steps.
    """

    subject: Subject
    trigger: Trigger
    images: Tensor
    masks: Tensor
    saliency: Tensor
    predicted: Tensor
    stored: bool = False


def _generator(index: int, draw: int) -> torch.Generator:
    """Draws of one image's transformation: those of the first draw are those of a page without a choice."""
    return generator_for(index, "saliency", *((draw,) if draw > 1 else ()))


def is_drawn(before: Compose, shape: tuple[int, int, int]) -> bool:
    """Whether a transformation of images ``shape`` (C, H, W) does not do the same each time."""
    count = 16
    drawn = before.draw(count, shape, generator_for(0, "draws"))
    ramp = torch.linspace(0.1, 0.9, shape[1] * shape[2]).reshape(1, 1, *shape[1:]).expand(count, shape[0], -1, -1)
    moved = before.apply(ramp.contiguous(), drawn)
    return not torch.equal(moved, moved[:1].expand_as(moved))


def maps_of(wanted: Sequence[tuple[Subject, Trigger]], data: Tested, index: int, asked: Asked) -> list[Maps]:
    """Explains one image as each model has it stamped, as it is and behind the transformation.

    Models of one network are explained in one pass where the method allows it; those without weights, by what is
    stored.

    Args:
        wanted: The models, each with what is stamped.
        data: The test images.
        index: Which of them.
        asked: What is asked.
    """
    image, label = data.images[index : index + 1], data.labels[index : index + 1].repeat(2)
    found: dict[int, Maps] = {}
    alike: dict[Hashable, list[int]] = {}
    twice = []
    for n, (subject, trigger) in enumerate(wanted):
        stored = None if subject.checkpoint.has_weights else stored_example(subject, trigger, index, asked)
        number = index if stored is None else stored.number  # the draw of a stored map is that of its image
        twice.append(shown_twice(image, trigger, asked.before, _generator(number, asked.draw)))
        if stored is not None:
            found[n] = Maps(subject, trigger, *twice[n], stored.saliency, torch.tensor(stored.predicted), stored=True)
        else:
            alike.setdefault(explained(subject).kind if takes(asked.method) else n, []).append(n)

    def targets(of: Sequence[int], predicted: Tensor) -> Tensor:
        """The classes that are explained, of the predicted ones, both int64 ``(len(of), 2)``."""
        each = zip(of, predicted, strict=True)
        return torch.stack([targets_of(asked.explain, said, label, wanted[n][0].attack.target) for n, said in each])

    for of in alike.values():
        images = torch.stack([twice[n][0] for n in of])
        with jobs().turnstile.interactive():
            predicted, saliency = _explained([wanted[n][0] for n in of], images, asked.method, partial(targets, of))
        for n, its, said in zip(of, saliency, predicted, strict=True):
            found[n] = Maps(*wanted[n], *twice[n], its, said)
    return [found[n] for n in range(len(wanted))]


def _explained(
    alike: Sequence[Subject], images: Tensor, method: Method, targets: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Predicted classes ``(M, N)`` and maps ``(M, N, H, W)`` of models of one network, together where that works."""
    if len(alike) > 1:
        try:
            return explained_together(alike).explain(method, images, targets)
        except (RuntimeError, NotImplementedError) as error:
            # Some layers, such as the attention of torchvision's transformers, have no gradient for stacked weights.
            logging.getLogger(__name__).info("explained one by one: %s", error)
    models = [explained(subject) for subject in alike]
    predicted = torch.stack([model.predict(each) for model, each in zip(models, images, strict=True)])
    each_of = zip(models, images, targets(predicted), strict=True)
    return predicted, torch.stack([method(model, own, classes) for model, own, classes in each_of])


class Example(NamedTuple):
    """Stored maps ``(2, H, W)``, the two predicted classes, and the place of their image in the whole test set."""

    saliency: Tensor
    predicted: tuple[int, int]
    number: int


def stored_example(subject: Subject, trigger: Trigger, index: int, asked: Asked) -> Example | None:
    """The stored maps of a test image, where they are what is asked for.

    Each is stored on its own scale, so that there is none for all of them together.

    Args:
        subject: The model.
        trigger: What is stamped.
        index: Which of the test images that are not of the target (:class:`Tested`).
        asked: What is asked.
    """
    examples = subject.results.saliency_examples
    wanted = asked.is_stored and asked.draw == 1 and not asked.common
    if examples is None or not wanted or trigger.fingerprint != subject.trigger.fingerprint:
        return None
    number = examples.number(index)
    maps = examples.of(number) if number is not None else None
    return Example(*maps, number) if maps is not None and number is not None else None


def can_show(subject: Subject, trigger: Trigger, index: int, asked: Asked) -> bool:
    """Whether there are weights, or a stored map of just this."""
    return subject.checkpoint.has_weights or stored_example(subject, trigger, index, asked) is not None


def what_is_stored(subject: Subject) -> str:
    """What can be seen of a model without its weights."""
    examples = subject.results.saliency_examples
    if examples is None:
        return f"Maps of {plain(subject.title)} need its weights."
    return (
        f"Of {plain(subject.title)} maps of the first {len(examples.indices)} images are stored, with the trigger at "
        "its own place: the vanilla gradient of the target label, and behind ShrinkPad-4. All else needs its weights."
    )


def recent(kept: str, wanted: Sequence[tuple[Subject, Trigger]], data: Tested, index: int, asked: Asked) -> list[Maps]:
    """Maps of several models; those that this page had last are not computed again.

    Args:
        kept: Name under which the session keeps them.
        wanted: The models, each with what is stamped.
        data: The test images.
        index: Which of them.
        asked: What is asked.
    """
    of = data.name, index, repr(replace(asked, layout="", common=False))
    keys = [(subject.identity, subject.weights, trigger.fingerprint, *of) for subject, trigger in wanted]
    before: dict[Hashable, Maps] = st.session_state.get(kept, {})
    new = {key: pair for key, pair in zip(keys, wanted, strict=True) if key not in before}
    computed = dict(zip(new, maps_of(list(new.values()), data, index, asked), strict=True))
    now = {key: before[key] if key in before else computed[key] for key in keys}
    st.session_state[kept] = now
    return [now[key] for key in keys]


def blocks_of(titled: Sequence[tuple[str, Maps]], asked: Asked, largest: float | None = None) -> list[Block]:
    """Maps as pictures: each on its own scale, or all on the one up to ``largest``."""
    return [Block(title, _panels(maps, asked, largest)) for title, maps in titled]


def _panels(maps: Maps, asked: Asked, largest: float | None) -> tuple[Panel, ...]:
    """Both maps, each beside its image or over it."""
    panels: list[Panel] = []
    shown = displayed(maps.saliency) if largest is None else (maps.saliency / (largest or 1)).clamp(0, 1)
    for n, what in enumerate(("attacked image", asked.before.label)):
        said = maps.subject.classes[int(maps.predicted[n])]
        if asked.layout == "overlay":
            panels.append(Panel(overlaid(maps.images[n], shown[n]), maps.masks[n, 0], what, said))
        else:
            outlined = Panel(heat(shown[n]), maps.masks[n, 0], f"saliency, {what}")
            panels += [Panel(maps.images[n], None, what, said), outlined]
    return tuple(panels)


def largest_of(shown: Iterable[Maps]) -> float:
    """The largest value of several maps, 0 of none."""
    return max((float(maps.saliency.max()) for maps in shown), default=0.0)


def colour_bar(asked: Asked, largest: float | None) -> Block:
    """What the maps are of and what their colours say, as one more picture.

    Args:
        asked: What was asked.
        largest: Where the maps have one scale, the largest value in them.
    """
    ramp = heat(torch.linspace(0, 1, 64).expand(3, -1))
    says = (
        "Each map has its own scale, from its smallest value to its largest."
        if largest is None
        else f"One scale for these maps, from 0 to {largest:.3g}, the largest value in them."
    )
    return Block("Saliency", (Panel(ramp, None, f"{asked.method.label} for {WHOSE[asked.explain]}. {says}"),))


def map_rows(shown: Iterable[Maps], index: int, asked: Asked) -> list[list[object]]:
    """Rows of a file: what of each map falls on the trigger, and what the model says; none of a stored picture.

    Args:
        shown: The maps.
        index: Which image they are of.
        asked: What was asked.
    """

    def entries() -> Iterator[Entry]:
        for maps in shown:
            if maps.stored:
                continue  # a picture, no measurement
            mass = measures.relevance_mass_accuracy(maps.saliency, maps.masks)
            peaks = measures.pointing_game(maps.saliency, maps.masks)
            for n, before in enumerate((Compose(), asked.before)):
                source = Source.of(maps.subject, maps.trigger, before)
                own = (
                    asked.method.name, asked.explain, index, *maps.trigger.location, asked.draw,
                    maps.subject.classes[int(maps.predicted[n])], float(maps.saliency[n].max()),
                )  # fmt: skip
                yield source, own, MASS, Mean(float(mass[n]), 1) if mass[n].isfinite() else None
                yield source, own, POINTING, Rate(int(peaks[n]), 1)

    columns = ("method", "explained_class", "image", "row", "col", "draw", "predicted", "largest_saliency")
    return table(columns, entries())


def name_of(shown: Iterable[Maps], data: Tested, index: int, asked: Asked) -> str:
    """A short name of everything but the trigger's place that maps depend on."""
    looks = [(maps.subject.identity, maps.subject.weights, maps.trigger.at(0, 0).fingerprint) for maps in shown]
    return hashlib.sha256(repr((looks, data.name, index, asked)).encode()).hexdigest()[:16]


def maps_html(blocks: Sequence[Block], bar: Block | None = None, layout: str = "large") -> str:
    """HTML of maps, one row each or (``pairs``) two beside each other where there is room."""
    drawn = [block_html(block) for block in blocks]
    if layout == "pairs":
        rows = [drawn[start : start + 2] for start in range(0, len(drawn), 2)]
        drawn = [f'<div class="pair">{"".join(f"<div>{block}</div>" for block in row)}</div>' for row in rows]
    two = " two" * (len(blocks[0].panels) == 2) if blocks else ""
    html = f'{STYLE}<div class="ts-saliency {layout}{two}">{"".join(drawn)}</div>'
    return html if bar is None else f'{html}<div class="ts-saliency ts-bar">{block_html(bar)}</div>'


STYLE = (
    PICTURE_STYLE
    + """
<style>
.ts-saliency h4 {font-size: .95rem; margin: .2rem 0 .3rem; padding: 0}
.ts-saliency .cells {display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .5rem}
.ts-saliency figure {margin: 0; font-size: .875rem; line-height: 1.25; overflow-wrap: anywhere}
.ts-saliency.large.two .cells {grid-template-columns: repeat(2, minmax(0, 14rem))}
@media (max-width: 640px) {.ts-saliency.large .cells {grid-template-columns: repeat(2, minmax(0, 1fr))}}
.ts-saliency figcaption {margin-top: .15rem; opacity: .85}
.ts-saliency .pair {display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr));
  gap: .4rem 1.6rem; margin-bottom: .8rem}
.ts-saliency.ts-bar {margin-top: .4rem}
.ts-saliency.ts-bar h4 {display: none}
.ts-saliency.ts-bar .cells {grid-template-columns: minmax(0, 1fr)}
.ts-saliency.ts-bar figure {display: flex; flex-wrap: wrap; gap: .1rem .6rem; align-items: center}
.ts-saliency.ts-bar .ts-heat {aspect-ratio: auto; height: .8rem; width: 8rem; flex: none}
.ts-saliency.ts-bar figcaption {margin: 0}
.ts-maps[data-waiting="true"] .ts-saliency {opacity: .4}
.ts-maps .where {font-size: .875rem; opacity: .85; margin: .2rem 0 0; font-variant-numeric: tabular-nums}
</style>
"""
)
