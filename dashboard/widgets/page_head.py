"""What every page begins with, and how it lies on a screen: a projector's, a phone's, a lecture hall's."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.server.resources import present
from dashboard.state.session import Choice, Session
from dashboard.words.glossary import glossary_text

__all__ = ["PRESENT", "begin", "lay_out", "read_link", "say", "three_areas"]


def _switched(text: str) -> bool:
    """Reads the switch from a link; ``?present`` alone switches it on."""
    if text not in ("", "yes", "no"):
        raise ValueError("yes or no")
    return text != "no"


PRESENT: Choice[bool] = Choice("present", False, _switched, lambda on: "yes" if on else "no")
"""The presentation size: everything larger, no sidebar."""

_LARGE = """
html {font-size: 21px}
section[data-testid="stSidebar"], [data-testid="stExpandSidebarButton"] {display: none}
"""

_HEAD = """
.stMainBlockContainer {padding-top: .5rem}
.st-key-title-row {gap: .3rem .8rem; padding-right: 3rem; min-height: 2.4rem}
.st-key-title-row h1 {padding: 0; font-size: 1.6rem; white-space: nowrap}
.st-key-title-row [data-testid="stPopover"] p {white-space: nowrap}
/* Streamlit's own bar lies over the title row: only its buttons take the pointer. */
header[data-testid="stHeader"] {background: transparent}
header[data-testid="stHeader"], header[data-testid="stHeader"] * {pointer-events: none}
header[data-testid="stHeader"] :is(button, a), header[data-testid="stHeader"] :is(button, a) * {pointer-events: auto}
[data-testid="stTable"] :is(th, td) {padding: .3rem .18rem}
.st-key-missing-data [data-testid="stAlertContainer"] {padding: .5rem .8rem; min-height: 0}
.st-key-missing-data > div:first-child {flex: 1 1 auto; width: auto}
.ts-answer {font-size: 1.1rem; line-height: 1.4; margin: 0 0 .2rem; min-height: 1.4em}
/* While a slider is held, what the server drew belongs to the value before. */
.stApp:has(.ts-rates[data-ahead="true"]) :is(.ts-answer, .stPlotlyChart, .st-key-as-it-looks) {opacity: .35}
@media (max-width: 640px) {
  .stMainBlockContainer {padding-top: 2.6rem}
  .st-key-title-row {padding-right: 0}
  .st-key-title-row h1 {font-size: 1.3rem}
  .st-key-title-row .st-key-choice-present {display: none}
}
"""

# Two columns with something below both, which on a phone comes between them: pictures before curves.
_AREAS = """
.st-key-areas.st-key-areas.st-key-areas {display: grid; gap: 1rem 2.4rem; align-items: start;
  grid-template-columns: minmax(0, 8fr) minmax(0, 13fr); grid-template-areas: "left right" "below below"}
.st-key-areas > * {min-width: 0; width: 100% !important}
.st-key-areas > :has(> .st-key-areas-left), .st-key-areas > .st-key-areas-left {grid-area: left}
.st-key-areas > :has(> .st-key-areas-right), .st-key-areas > .st-key-areas-right {grid-area: right}
.st-key-areas > :has(> .st-key-areas-below), .st-key-areas > .st-key-areas-below {grid-area: below}
@media (max-width: 640px) {
  .st-key-areas.st-key-areas.st-key-areas {grid-template-columns: minmax(0, 1fr);
    grid-template-areas: "left" "below" "right"}
}
"""

_ABREAST = """
@media (min-width: 641px) {
  .st-key-live-rates .ts-rates {display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr));
    gap: .2rem 1.6rem; align-items: end}
}
"""

_GRID = """
.st-key-live-grid.st-key-live-grid.st-key-live-grid {display: grid; gap: .3rem 1.6rem; align-items: start;
  grid-template-columns: minmax(15rem, 10fr) minmax(0, MAPSfr); grid-template-rows: auto 1fr auto;
  grid-template-areas: AREAS}
.st-key-live-grid > * {min-width: 0; width: 100% !important}
.st-key-live-grid > :has(> .st-key-live-rates), .st-key-live-grid > .st-key-live-rates {grid-area: rates}
.st-key-live-grid > :has(> .st-key-live-pad), .st-key-live-grid > .st-key-live-pad {grid-area: pad}
.st-key-live-grid > :has(> .st-key-live-maps), .st-key-live-grid > .st-key-live-maps {grid-area: maps}
.st-key-live-grid > :has(> .st-key-live-strip), .st-key-live-grid > .st-key-live-strip {grid-area: strip}
.st-key-live-rates, .st-key-live-pad, .st-key-live-maps, .st-key-live-strip {gap: .3rem}
.st-key-live-grid .ts-rates {gap: .2rem; margin: 0}
.st-key-live-grid .ts-rate .note {font-size: .875rem}
.st-key-live-grid .ts-strip {grid-template-columns: repeat(10, minmax(0, 1fr)); margin: 0}
.st-key-live-grid .ts-strip figure {font-size: .875rem}
.ts-rate[data-waiting="true"] .value, .ts-rate[data-waiting="true"] .bar {opacity: .35}
.stMainBlockContainer {padding-top: .5rem; padding-bottom: .5rem}
.stMainBlockContainer > div > [data-testid="stVerticalBlock"], .stMainBlockContainer [data-testid="stVerticalBlock"]
  {gap: .4rem}
@media (max-width: 640px) {
  .stMainBlockContainer {padding-left: .8rem; padding-right: .8rem; padding-top: 2.6rem}
  .st-key-live-grid.st-key-live-grid.st-key-live-grid {grid-template-columns: minmax(0, 1fr);
    grid-template-rows: none; grid-template-areas: "rates" "pad" "strip" "maps"}
  .st-key-live-grid .ts-strip {grid-template-columns: repeat(5, minmax(0, 1fr)); gap: .3rem}
}
"""


# Large text leaves little height: the rates side by side, smaller pictures, and no line on how a map was made.
_SHORT = """
.st-key-live-pad {--beside-pad: 17rem}
.st-key-live-maps {--beside-map: 470}
.st-key-live-grid .ts-rate.first .name {font-size: .9rem}
.st-key-live-grid .ts-rates:has(:nth-child(3 of .ts-rate)) :is(.name, .ts-rate.first .name, .note) {font-size: .72rem}
.st-key-live-grid .ts-rates:has(:nth-child(3 of .ts-rate)) .ts-rate.first .value {font-size: 1.6rem; line-height: 1}
@media (min-width: 641px) {.st-key-live-grid .ts-pictures .ts-strip canvas {max-width: 8.5vh}}
@media (min-width: 641px) and (max-height: 800px) {.st-key-live-grid [class*="st-key-map-notes"] {display: none}}
"""


def begin(title: str, explanation: str) -> tuple[Session, DeltaGenerator]:
    """Begins a page: its title in one line with explanation, glossary and the switch of the presentation size.

    Args:
        title: The title.
        explanation: What the page shows, as Markdown; behind an icon, so that it takes no room.

    Returns:
        The selections, and the place below the title for what the page answers (:func:`say`): the numbers for it come
        later in the script.
    """
    session = Session()
    present(session.identity)
    if session.get(PRESENT):
        st.html(f"<style>{_LARGE}</style>")
    st.html(f"<style>{_HEAD}</style>")
    with st.container(key="title-row", horizontal=True, vertical_alignment="center"):
        st.title(title, anchor=False, width="content")
        with st.popover("", icon=":material/help:", type="tertiary", help="What am I looking at?"):
            st.markdown(explanation)
        with st.popover("Words", icon=":material/dictionary:", type="tertiary", help="What the words mean."):
            st.markdown(glossary_text())
        st.toggle("Presentation size", help="Larger, without the menu.", **session.widget(PRESENT))
    return session, st.empty()


def read_link(session: Session, *choices: Choice[Any]) -> None:
    """Takes selections from the address before their widgets are drawn, and says what is wrong with it."""
    for choice in choices:
        session.get(choice)
    for complaint in session.complaints():
        st.warning(complaint, icon=":material/link_off:")


def say(place: DeltaGenerator, answer: str) -> None:
    """Writes what a page answers into the place below its title."""
    place.html(f'<p class="ts-answer" role="status">{escape(answer)}</p>')


def three_areas() -> tuple[DeltaGenerator, DeltaGenerator, DeltaGenerator]:
    """Areas left, right and below both; on a phone the last one comes second. Once in a page."""
    st.html(f"<style>{_AREAS}</style>")
    with st.container(key="areas"):
        left, right, below = (st.container(key=f"areas-{name}") for name in ("left", "right", "below"))
    return left, right, below


def lay_out(session: Session, maps: int) -> None:
    """Puts rates, pad, maps and images on the first screen; on a phone below each other, the maps last.

    Beside two maps, and in the presentation size, there is no room for the rates: they stand side by side above.

    Args:
        session: Says whether the presentation size is chosen.
        maps: How many maps there are.
    """
    large = session.get(PRESENT)
    below = maps == 1 and not large
    areas = '"rates maps" "pad maps" "strip strip"' if below else '"rates rates" "pad maps" "strip strip"'
    style = _GRID.replace("MAPS", "12" if maps == 1 else "24").replace("AREAS", areas)
    st.html(f"<style>{style}{'' if below else _ABREAST}{_SHORT if large else ''}</style>")
