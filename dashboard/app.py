"""The application: ``streamlit run dashboard/app.py`` serves ``pages.py``.

Streamlit runs nothing before the first browser asks; the seconds until then are used to load what every page needs.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import streamlit as st

HERE = Path(__file__).resolve().parent
# The repository itself, so that the application also starts where the package is not installed.
sys.path.insert(0, str(HERE.parent))

# The slow imports, all of them free of Streamlit: its own objects want a running session.
SLOW = ("torch", "torchvision", "plotly.graph_objects", "pandas", "core.sweeps", "core.inference", "core.store")


def _load() -> None:
    for name in SLOW:
        with contextlib.suppress(ImportError):  # a page says what is missing, where a user sees it
            importlib.import_module(name)


@contextlib.asynccontextmanager
async def _loading(_: st.App) -> AsyncIterator[None]:
    threading.Thread(target=_load, name="imports", daemon=True).start()
    yield


app = st.App(HERE / "pages.py", lifespan=_loading)
