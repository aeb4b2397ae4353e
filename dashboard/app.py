"""The application: ``streamlit run dashboard/app.py``. Navigation only."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

# The repository itself, so that the application also starts where the package is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# A file: the icon of a font would be fetched from its maker, again and again while a trigger is dragged.
ICON = Path(__file__).resolve().parent / "assets" / "icon.png"
st.set_page_config(page_title="Trigger sensitivity", page_icon=str(ICON), layout="wide")

import dashboard.server.ending  # noqa: E402, F401 - the page must be configured first; waits for its runs at the end
from dashboard.server.beginning import take_up_queue  # noqa: E402
from dashboard.server.owner import is_served, owners  # noqa: E402
from dashboard.server.strangers import guard_messages  # noqa: E402
from dashboard.server.uploads import guard_uploads  # noqa: E402
from dashboard.state.session import arriving  # noqa: E402

guard_uploads()
guard_messages()
take_up_queue()
if is_served():
    owners()  # prints the owner's token, once

# Streamlit fades what a rerun has not reached yet; during a drag, that is the trigger itself. And it leaves a sixth of
# a lecture hall's screen empty above and beside the page.
st.html(
    """<style>
    .stApp [data-stale="true"] {opacity: 1 !important; transition: none !important}
    .stMainBlockContainer {padding-top: 2.6rem; padding-bottom: 3rem}
    [data-testid="stSidebarHeader"] {height: auto; min-height: 1.6rem; padding-top: .4rem; padding-bottom: 0; margin: 0}
    @media (min-width: 641px) {
      [data-testid="stSidebarNavLink"] {padding-top: .05rem; padding-bottom: .05rem; line-height: 1.6}
      [data-testid="stSidebarNavItems"] {padding-top: 0}
      [data-testid="stSidebarUserContent"] {padding-top: .6rem}
    }
    @media (min-width: 1000px) {.stMainBlockContainer {padding-left: 3.2rem; padding-right: 3.2rem}}
    </style>"""
)

# On a phone the menu covers the page: it closes when a page was chosen. Back and Forward go through the selections.
# In one element: each takes room on the page.
SCRIPTS = [Path(__file__).resolve().parent / "assets" / name for name in ("menu.js", "history.js")]
CODE = "".join(f"<script>{{{script.read_text(encoding='utf-8')}}}</script>" for script in SCRIPTS)
st.html(CODE, unsafe_allow_javascript=True)


def page(name: str, title: str, icon: str) -> StreamlitPage:
    """The page ``dashboard/views/NAME.py``, imported when it is first opened.

    Pandas, captum or OpenCV, which some pages need, take longer to import than the first page takes to show.
    """

    def show() -> None:
        with arriving(name):
            importlib.import_module(f"dashboard.views.{name}").show()

    return st.Page(show, title=title, icon=f":material/{icon}:", url_path=name)


def first() -> None:
    """The address without a page: what a link of before names, and the lesson where it names nothing."""
    link = dict(st.query_params)
    st.switch_page(location if link and LESSON_LINK.isdisjoint(link) else lesson, query_params=link)


LESSON_LINK = {"lesson", "step", "notes"}
lesson = page("lesson", "Lesson", "school")
location = page("location", "Trigger location", "my_location")
st.navigation(
    [
        st.Page(first, title="Trigger sensitivity", url_path="first", default=True, visibility="hidden"),
        lesson,
        location,
        page("appearance", "Trigger appearance", "palette"),
        page("defenses", "Defenses", "shield"),
        page("enhanced", "Enhanced attacks", "auto_fix_high"),
        page("saliency", "Saliency", "visibility"),
        page("physical", "Physical attack", "photo_camera"),
        page("open_model", "Open a model", "folder_open"),
        page("train", "Train", "model_training"),
        page("paper", "Paper against measured", "menu_book"),
    ]
).run()
