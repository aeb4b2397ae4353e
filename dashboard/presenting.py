"""How the page *Trigger location* lies on a screen: a projector's, a large one, a phone's, and a lecture hall's."""

from __future__ import annotations

import streamlit as st

from dashboard.session import Choice, Session

__all__ = ["PRESENT", "lay_out", "present", "title_row"]


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

_GRID = """
.st-key-live-grid.st-key-live-grid.st-key-live-grid {display: grid; gap: .3rem 1.6rem; align-items: start;
  grid-template-columns: minmax(15rem, 10fr) minmax(0, MAPSfr); grid-template-areas: "pad maps" "strip strip"}
.st-key-live-grid > * {min-width: 0; width: 100% !important}
.st-key-live-grid > :has(> .st-key-live-pad), .st-key-live-grid > .st-key-live-pad {grid-area: pad}
.st-key-live-grid > :has(> .st-key-live-maps), .st-key-live-grid > .st-key-live-maps {grid-area: maps}
.st-key-live-grid > :has(> .st-key-live-strip), .st-key-live-grid > .st-key-live-strip {grid-area: strip}
.st-key-live-pad, .st-key-live-maps, .st-key-live-strip {gap: .3rem}
.st-key-live-grid .ts-rates {gap: .2rem; margin: 0}
.st-key-live-grid .ts-rate .note {font-size: .875rem}
.st-key-live-grid .ts-strip {grid-template-columns: repeat(10, minmax(0, 1fr)); margin: 0}
.st-key-live-grid .ts-strip figure {font-size: .875rem}
.ts-rate[data-waiting="true"] .value, .ts-rate[data-waiting="true"] .bar {opacity: .35}
.st-key-title-row h1 {padding: 0; font-size: 1.6rem; white-space: nowrap}
.st-key-title-row {gap: .8rem}
.stMainBlockContainer {padding-top: .5rem; padding-bottom: .5rem}
.st-key-title-row {padding-right: 3rem; min-height: 2.4rem}
header[data-testid="stHeader"] {background: transparent; pointer-events: none}
header[data-testid="stHeader"] button {pointer-events: auto}
.stMainBlockContainer > div > [data-testid="stVerticalBlock"], .stMainBlockContainer [data-testid="stVerticalBlock"]
  {gap: .4rem}
@media (max-width: 640px) {
  .stMainBlockContainer {padding-left: .8rem; padding-right: .8rem; padding-top: 2.6rem}
  .st-key-live-grid.st-key-live-grid.st-key-live-grid {grid-template-columns: minmax(0, 1fr);
    grid-template-areas: "pad" "strip" "maps"}
  .st-key-live-grid .ts-strip {grid-template-columns: repeat(5, minmax(0, 1fr)); gap: .3rem}
  .st-key-title-row h1 {font-size: 1.3rem}
  .st-key-title-row .st-key-choice-present {display: none}
}
"""


def present(session: Session) -> bool:
    """Whether the presentation size is on; draws what it needs."""
    on = session.get(PRESENT)
    if on:
        st.html(f"<style>{_LARGE}</style>")
    return on


def title_row(session: Session, title: str, explanation: str) -> None:
    """The title with its explanation and the switch of the presentation size, in one line."""
    with st.container(key="title-row", horizontal=True, vertical_alignment="center"):
        st.title(title, anchor=False, width="content")
        with st.popover("", icon=":material/help:", type="tertiary", help="What am I looking at?"):
            st.markdown(explanation)
        st.toggle("Presentation size", help="Larger, without the menu.", **session.widget(PRESENT))


def lay_out(maps: int) -> None:
    """Puts pad, maps and images on the first screen; on a phone below each other, the maps last.

    Args:
        maps: How many maps there are.
    """
    st.html(f"<style>{_GRID.replace('MAPS', str(12 if maps == 1 else 20))}</style>")
