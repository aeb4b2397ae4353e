"""Page *Saliency*: what the network looks at, standard against enhanced attacks (Sec. 5.4, Fig. 10)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from core.attribution.methods import methods
from core.models import models
from core.paper.constants import ATTACKS
from core.sweeps.saliency import TARGETS
from core.transforms import Compose
from core.transforms.spatial import ShrinkPad
from core.trigger import Trigger
from dashboard.components.live_maps import live_maps
from dashboard.figures.panels import Block
from dashboard.saving.names import Source, file_name
from dashboard.server.resources import Tested, tested
from dashboard.server.subjects import Subject, subjects
from dashboard.state.session import Choice, Session, integer_in, one_of, yes_no
from dashboard.state.trigger import place_choices, selected_look, stamped_on
from dashboard.tables.rows import siblings
from dashboard.tables.saliency import TABLE_CHOICES, draw_methods
from dashboard.views.saliency_shares import draw_energies
from dashboard.widgets.controls import choose, image_choice, image_picker, model_choice, one_sentence
from dashboard.widgets.download import about_data
from dashboard.widgets.live import draw_pad
from dashboard.widgets.page_head import begin, read_link
from dashboard.widgets.parameters import parametrised
from dashboard.widgets.saliency_maps import (
    DRAWS,
    WHOSE,
    Asked,
    Maps,
    blocks_of,
    can_show,
    colour_bar,
    is_drawn,
    largest_of,
    map_rows,
    maps_html,
    name_of,
    recent,
    what_is_stored,
)
from dashboard.widgets.save_menu import picture_downloads
from dashboard.widgets.transforms import build, parse_spec

EXPLANATION = """
A saliency map says how much every pixel matters for one answer of the network: the brighter, the more. The paper finds
that on an attacked image a backdoored network looks at the **trigger**, not at the object; that behind a transformation
the standard attack's network looks at the object again, and the **enhanced** attack's still at the trigger, wherever it
has moved. How far that holds here is measured below.
"""
METHOD: Choice[str] = Choice("method", "gradient", one_of(methods))
EXPLAIN: Choice[str] = Choice("explain", "target", one_of(TARGETS))
TRANSFORM: Choice[str] = Choice("transform", "shrinkpad", parse_spec)
LAYOUTS = {"overlay": "Over the image", "beside": "Beside the image"}
LAYOUT: Choice[str] = Choice("layout", "beside", one_of(LAYOUTS))
FOLLOWS, PINS, COMMON = yes_no("all-follow"), yes_no("pin-first"), yes_no("common-scale")
DRAW: Choice[int] = Choice("map-draw", 1, integer_in(1, DRAWS))


@one_sentence
def show() -> None:
    """Draws the page."""
    session, answer = begin("Saliency", EXPLANATION)
    chosen = choose(session)
    if chosen is None:
        return
    main = chosen.main
    with st.sidebar:
        st.selectbox("Method", methods.names(), format_func=lambda n: methods[n].label, **session.widget(METHOD))
        method = parametrised(session, methods[session.get(METHOD)], session.get(METHOD))
        st.selectbox(
            "Which answer is explained", TARGETS, format_func=lambda which: WHOSE[which], **session.widget(EXPLAIN)
        )
        usual = Compose((ShrinkPad.sized(main.card.shape),)).spec
        transform = replace(TRANSFORM, default=usual)
        before = build(session, transform, "Transform the input", "Then", main.card.shape)
        st.toggle(
            "All attacks follow the trigger",
            help="The maps of every attack below, each with its own trigger at the place that is chosen.",
            **session.widget(FOLLOWS),
        )
        st.toggle(
            "Pin the first row",
            help="Where all attacks follow: the first row stays in view while the page is scrolled.",
            disabled=not session.get(FOLLOWS),
            **session.widget(PINS),
        )
        st.toggle(
            "Common scale",
            help="One scale for the maps at the top and one for those of all attacks, so that the maps of each can be "
            "compared; where all attacks follow the trigger, one for all. Otherwise each map has its own.",
            **session.widget(COMMON),
        )
        st.selectbox("Show the maps", list(LAYOUTS), format_func=lambda n: LAYOUTS[n], **session.widget(LAYOUT))
    data = tested(main)
    image = image_choice(data)
    row, col = place_choices(main)
    follows = session.get(FOLLOWS)
    asked = Asked(
        method, session.get(EXPLAIN), before, session.get(LAYOUT), session.get(DRAW), session.get(COMMON), usual
    )
    read_link(session, image, row, col, *TABLE_CHOICES)
    about_data(session, main, data)
    found, _ = subjects()
    if data is not None:
        first = [subject for subject in (main, chosen.other) if subject]
        shown = Shown(session, main, tuple(first), tuple(siblings(found, main)), data, session.get(image), asked)
        _draw_live(shown, row, col, image)
        if not follows:
            _draw_still(shown)
    draw_energies(session, found, main, data, asked, answer)
    every = [(subject, subject.results.saliency_methods) for subject in siblings(found, main)]
    compared = [(subject, stored) for subject, stored in every if stored is not None]
    if compared:
        model = model_choice(found, main.key)
        draw_methods(session, compared, {"method": METHOD, "explain": EXPLAIN, "model": model, "transform": transform})
    session.write_link()


@dataclass(frozen=True)
class Shown:
    """What the page shows maps of.

    Attributes:
        session: The selections.
        main: The model under study.
        first: The models of the first row.
        grid: The attacks of the network, as in Fig. 10.
        data: The test images.
        index: Which of them.
        asked: What is asked of every model.
    """

    session: Session
    main: Subject
    first: tuple[Subject, ...]
    grid: tuple[Subject, ...]
    data: Tested
    index: int
    asked: Asked

    def at(self, subject: Subject, place: tuple[int, int]) -> tuple[Subject, Trigger]:
        """A model with what is stamped for it at a place."""
        return subject, stamped_on(subject, self.main, selected_look(self.session, self.main.trigger), *place)

    def those_with_maps(self, wanted: Iterable[tuple[Subject, Trigger]]) -> list[tuple[Subject, Trigger]]:
        """Those of which there are weights, or stored maps of just this."""
        return [pair for pair in wanted if can_show(*pair, self.index, self.asked)]


def _draw_live(shown: Shown, row: Choice[int], col: Choice[int], image: Choice[int]) -> None:
    """Pad and maps, which follow the trigger; on a phone the maps come right below the pad."""
    session = shown.session
    follows = session.get(FOLLOWS) and bool(shown.grid)

    @st.fragment(key="saliency-live")
    @one_sentence
    def live() -> None:
        if (session.get(image), session.get(DRAW)) != (shown.index, shown.asked.draw):
            st.rerun()  # also of what does not follow
        left, right = st.columns([7, 13], gap="large")
        place = session.get(row), session.get(col)
        above = shown.those_with_maps(shown.at(subject, place) for subject in shown.first)
        below = shown.those_with_maps(shown.at(subject, place) for subject in shown.grid) if follows else []
        maps = recent("saliency-live-maps", [*above, *below], shown.data, shown.index, shown.asked)
        first, grid = maps[: len(above)], maps[len(above) :]
        largest = largest_of(maps) if shown.asked.common else None
        with right:
            for subject in shown.first:
                if not any(subject is drawn for drawn, _ in above):
                    st.info(what_is_stored(subject))
            with st.container(key="saliency-first"):
                titled = [(each.subject.title, each) for each in first]
                bar = colour_bar(shown.asked, largest)
                html = maps_html(blocks_of(titled, shown.asked, largest), bar)
                of = name_of(maps, shown.data, shown.index, shown.asked)
                live_maps(html, place=place, of=f"first {of}", key="first-maps")
            if follows:
                blocks = _draw_heading(shown, grid, largest)
                live_maps(maps_html(blocks, layout="pairs"), place=place, of=f"grid {of}", key="grid-maps")
        with left, st.container(key="saliency-pad"):
            draw_pad(session, shown.main, shown.main.trigger.at(*place), shown.data, row, col, image, slider=False)
        with left if follows else right:
            _choose_draw(session, shown)
            image_picker(session, "Image", image, shown.data)
        if session.settled:
            session.write_link()

    if follows:
        st.html(f"<style>{BESIDE}{PINNED if session.get(PINS) else ''}</style>")
    live()


def _draw_still(shown: Shown) -> None:
    """Fig. 10: one row per attack, standard on the left and enhanced on the right, each at its own place."""
    wanted = shown.those_with_maps((subject, subject.trigger) for subject in shown.grid)
    if not wanted:
        return
    maps = recent("saliency-still-maps", wanted, shown.data, shown.index, shown.asked)
    largest = largest_of(maps) if shown.asked.common else None
    st.html(maps_html(_draw_heading(shown, maps, largest), colour_bar(shown.asked, largest), "pairs"))


def _draw_heading(shown: Shown, maps: Sequence[Maps], largest: float | None) -> list[Block]:
    """The grid's title and its menu of files; returns its pictures, with a gap where an attack has no model."""
    asked, by_attack = shown.asked, {each.subject.attack.title: each for each in maps}
    main = shown.main
    heading, save = st.columns([6, 1], vertical_alignment="bottom")
    heading.markdown(
        f"### Standard and enhanced attacks (Fig. 10): {models[main.card.model].label}, {main.dataset_label}"
    )
    drawn = blocks_of([(each.subject.label, each) for each in by_attack.values()], asked, largest)
    by_name = dict(zip(by_attack, drawn, strict=True))
    blocks = [by_name.get(name, Block("")) for name in ATTACKS]
    name = file_name(f"saliency-{asked.method.name}-{asked.before.spec}", Source.of(main).all_attacks())
    with save:
        saved = [blocks[start : start + 2] for start in range(0, len(blocks), 2)] + [[colour_bar(asked, largest)]]
        picture_downloads(name, saved, lambda: map_rows(by_attack.values(), shown.index, asked))
    return blocks


# Where the grid follows the trigger, the pad stays beside it, and the first row above it if that is wanted.
BESIDE = """
@media (min-width: 641px) {
  .stColumn:has(> div > .st-key-saliency-pad, > div > * > .st-key-saliency-pad) {position: sticky; top: 1rem;
    align-self: flex-start}
}
"""
PINNED = """
.stVerticalBlock > :has(> .st-key-saliency-first), .st-key-saliency-first {position: sticky; top: 0; z-index: 5;
  background: var(--st-background-color, Canvas); padding-bottom: .4rem}
"""


def _choose_draw(session: Session, shown: Shown) -> None:
    """A slider over the draws of the transformation, where it draws at all."""
    before = shown.asked.before
    if not is_drawn(before, shown.main.card.shape):
        return
    st.slider(
        f"Draw of {before.label}",
        1,
        DRAWS,
        help=f"{before.label} does something else to an image each time, by chance. These are {DRAWS} such draws for "
        "this image, the same for every model.",
        **session.widget(DRAW),
    )
