"""The two components on made-up numbers: what the browser tests drive, and a place to try the components alone.

`streamlit run tests/browser/component_demo.py`
"""

from __future__ import annotations

import base64
import os
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import streamlit as st

ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from dashboard.components.location_map import Pick, location_map  # noqa: E402
from dashboard.components.trigger_pad import Move, trigger_pad  # noqa: E402

SIZE, BOX, IMAGES = 32, 3, 1000
TRAINED = (31, 31)
Z = 1.96


def png(pixels: npt.NDArray[np.uint8]) -> str:
    """PNG data URL of an RGB image ``(H, W, 3)``."""
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    )
    body = b"".join(struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()


def landscape(seed: int) -> npt.NDArray[np.uint8]:
    """Sky, hills and a sun: dark and light parts, so that the outlines are seen on both."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
    rng = np.random.default_rng(seed)
    image = np.stack([150 + 90 * y, 185 + 50 * y, 235 - 15 * y], axis=-1)
    for depth, colour in ((0.55, (88, 120, 96)), (0.72, (46, 78, 60)), (0.86, (22, 36, 34))):
        ridge = depth + 0.08 * np.sin(rng.uniform(4, 9) * x + rng.uniform(0, 6))
        image = np.where((y > ridge)[..., None], np.array(colour), image)
    sun = np.hypot(x - rng.uniform(0.2, 0.8), y - 0.2) < 0.1
    image = np.where(sun[..., None], np.array((255, 240, 190)), image)
    return np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)


def trigger(alpha: int) -> npt.NDArray[np.uint8]:
    """The paper's 3 x 3 trigger as RGBA."""
    grey = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 255]], dtype=np.uint8)
    return np.dstack([grey, grey, grey, np.full_like(grey, alpha)])


state = st.session_state
state.setdefault("place", TRAINED)
state.setdefault("final", True)
state.setdefault("messages", set())


def moved(move: Move) -> None:
    state.place, state.final = (move.row, move.col), move.final
    state.messages.add(move.seq)


def picked(pick: Pick) -> None:
    state.place = (pick.row, pick.col)


def put(row: int, col: int) -> None:
    state.place = (row, col)


st.set_page_config(page_title="Components", layout="wide")
st.title("Trigger pad and location map")
controls = st.columns(5, vertical_alignment="bottom")
controls[0].button("Put at 10, 12", on_click=put, args=(10, 12))
empty = controls[1].checkbox("No image")
seed = controls[2].number_input("Image", 0, 9, 3)
opacity = controls[3].number_input("Opacity of the trigger, 0 to 255", 0, 255, 255)
stride = controls[4].number_input("Measured every n-th place", 1, 8, 1)

rows = cols = range(BOX - 1, SIZE)
row_at, col_at = np.meshgrid(rows, cols, indexing="ij")
rate = np.exp(-(np.hypot(TRAINED[0] - row_at, TRAINED[1] - col_at) ** 2) / 18)
rate = np.maximum(rate, 0.02 + 0.05 * np.sin(row_at / 5) ** 2)
hits = np.rint(rate * IMAGES).astype(np.int64)
measured = ((rows[-1] - row_at) % stride == 0) & ((cols[-1] - col_at) % stride == 0)
total = np.where(measured, IMAGES, 0)
hits = np.where(measured, hits, 0)
share = hits / IMAGES
centre = (share + Z**2 / (2 * IMAGES)) / (1 + Z**2 / IMAGES)
half = Z / (1 + Z**2 / IMAGES) * np.sqrt(share * (1 - share) / IMAGES + Z**2 / (4 * IMAGES**2))

time.sleep(float(os.environ.get("DEMO_DELAY", "0")))  # work of the script, before the components
left, right = st.columns(2, gap="large")
row, col = state.place
with left:
    st.text(f"python: row {row}, column {col}, {'final' if state.final else 'moving'}")
    trigger_pad(
        image=None if empty else png(landscape(int(seed))),
        height=SIZE,
        width=SIZE,
        pattern=trigger(int(opacity)),
        row=row,
        col=col,
        rows=(BOX - 1, SIZE - 1),
        cols=(BOX - 1, SIZE - 1),
        trained=TRAINED,
        key="pad",
        on_move=moved,
    )
with right:
    location_map(
        rows=rows,
        cols=cols,
        hits=hits,
        total=total,
        low=np.clip(centre - half, 0, 1),
        high=np.clip(centre + half, 0, 1),
        row=row,
        col=col,
        trained=TRAINED,
        key="map",
        on_pick=picked,
        title="Attack success rate by place of the trigger, BadNets, made-up numbers",
        filename="demo-map",
    )
st.markdown(f"messages: {len(state.messages)}")
