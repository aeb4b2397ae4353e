"""The pattern painter alone: what its browser tests drive, and a place to try it.

`streamlit run tests/browser/painter_demo.py`
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import streamlit as st

ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from dashboard.components.pattern_painter import Painted, pattern_painter  # noqa: E402

TRIGGER = "001010101"  # the paper's 3 x 3 trigger

state = st.session_state
state.setdefault("pattern", TRIGGER)
state.setdefault("messages", set())


def painted(new: Painted) -> None:
    state.pattern = new.pattern
    state.messages.add(new.seq)


def put(pattern: str) -> None:
    state.pattern = pattern


st.set_page_config(page_title="Pattern painter", layout="wide")
st.title("Pattern painter")
controls = st.columns(5, vertical_alignment="bottom")
controls[0].button("Ring", on_click=put, args=("1111.1111",))
controls[1].button("One cell", on_click=put, args=("....1....",))
height = int(controls[2].number_input("Height", 1, 32, 3))
width = int(controls[3].number_input("Width", 1, 32, 3))
value = int(controls[4].number_input("Value of lit cells, 0 to 255", 0, 255, 255))
if len(state.pattern) != height * width:
    state.pattern = "".join("01."[(row * row + col) % 3] for row in range(height) for col in range(width))

time.sleep(float(os.environ.get("DEMO_DELAY", "0")))  # work of the script, before the component
st.text(f"python: {state.pattern}")
pattern_painter(pattern=state.pattern, height=height, width=width, value=value, key="painter", on_paint=painted)
st.markdown(f"messages: {len(state.messages)}")
