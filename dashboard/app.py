"""The application: ``streamlit run dashboard/app.py``. Navigation only."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

# The repository itself, so that the application also starts where the package is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

st.set_page_config(page_title="Trigger sensitivity", page_icon=":material/my_location:", layout="wide")

from dashboard.views import appearance, defenses, enhanced, location  # noqa: E402 - the page must be configured first

# Streamlit fades what a rerun has not reached yet; during a drag, that is the trigger itself. And it leaves a sixth of
# a lecture hall's screen empty above and beside the page.
st.html(
    """<style>
    .stApp [data-stale="true"] {opacity: 1 !important; transition: none !important}
    .stMainBlockContainer {padding-top: 2.6rem; padding-bottom: 3rem}
    @media (min-width: 1000px) {.stMainBlockContainer {padding-left: 3.2rem; padding-right: 3.2rem}}
    </style>"""
)


def _saliency() -> None:
    from dashboard.views import saliency  # captum takes a second to import, which no other page needs

    saliency.show()


def _paper() -> None:
    from dashboard.views import paper  # reads every stored result, which no other page needs

    paper.show()


def _physical() -> None:
    from dashboard.views import physical  # OpenCV and captum, which few pages need

    physical.show()


def _train() -> None:
    from dashboard.views import train  # training has imports of its own, which no other page needs

    train.show()


st.navigation(
    [
        st.Page(
            location.show, title="Trigger location", icon=":material/my_location:", url_path="location", default=True
        ),
        st.Page(appearance.show, title="Trigger appearance", icon=":material/palette:", url_path="appearance"),
        st.Page(defenses.show, title="Defenses", icon=":material/shield:", url_path="defenses"),
        st.Page(enhanced.show, title="Enhanced attacks", icon=":material/auto_fix_high:", url_path="enhanced"),
        st.Page(_saliency, title="Saliency", icon=":material/visibility:", url_path="saliency"),
        st.Page(_physical, title="Physical attack", icon=":material/photo_camera:", url_path="physical"),
        st.Page(_train, title="Train", icon=":material/model_training:", url_path="train"),
        st.Page(_paper, title="Paper against measured", icon=":material/menu_book:", url_path="paper"),
    ]
).run()
