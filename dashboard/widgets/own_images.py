"""Choosing one's own images to train on: a folder of this machine, or an archive that the browser sends. Owner only."""

from __future__ import annotations

import io
from pathlib import Path

import streamlit as st

from core.data import Dataset, cache_folder, datasets
from core.data.own_images import unpack_images
from core.params import params_of
from dashboard.server.limits import UPLOADED
from dashboard.server.owner import ask_for_owner, is_owner, require_owner
from dashboard.server.uploads import forget_uploads
from dashboard.state.session import Choice, Session, integer_in
from dashboard.words.escaping import plain

__all__ = ["PATH", "SIZE", "choose_own_images", "store_archive"]

_SIDE = params_of(datasets["folder"])["size"]
PATH: Choice[str] = Choice("train-folder", "", str)
SIZE: Choice[int] = Choice("train-size", int(_SIDE.default), integer_in(int(_SIDE.low or 8), int(_SIDE.high or 512)))


def store_archive(content: bytes, name: str, by: str) -> Path:
    """Unpacks an archive that the browser sent.

    Raises:
        NotAllowed: If the session ``by`` is not the owner's.
        ValueError: If the archive or the name is refused.
        OSError: If it cannot be written.
    """
    require_owner(by, "storing images on this machine")
    return unpack_images(io.BytesIO(content), name)


def choose_own_images(session: Session) -> Dataset | None:
    """Draws the controls; None where nothing is chosen yet, or what is cannot be used, which is said."""
    if not ask_for_owner(session.identity, "training on images of one's own", "own-images"):
        return None
    st.text_input(
        "Folder on this machine",
        placeholder="/path/to/the/folder",
        help="With one folder per class, or with train and test that have them.",
        **session.widget(PATH),
    )
    with st.expander("Bring an archive instead"):
        _draw_upload(session)
    st.number_input(
        "Size (pixels)",
        int(_SIDE.low or 8),
        int(_SIDE.high or 512),
        help="Side that images are resized and cropped to. Trigger and ShrinkPad grow with it from 64 on.",
        **session.widget(SIZE),
    )
    path = session.get(PATH).strip()
    if not path:
        st.caption("Name a folder, or bring an archive.")
        return None
    try:
        dataset = datasets["folder"].from_dict({"path": path, "size": session.get(SIZE)})
        count = len(dataset.classes)
    except (ValueError, OSError) as error:
        st.error(plain(error), icon=":material/error:")
        return None
    st.caption(f"{count} classes: {plain(', '.join(dataset.classes[:6]))}{', ...' * (count > 6)}")
    return dataset


def _draw_upload(session: Session) -> None:
    given = st.file_uploader(
        f"ZIP of class folders, up to {UPLOADED.each // 2**20} MiB; of larger ones, name the unpacked folder.",
        type="zip",
    )
    name = st.text_input("Called", key="own-images-name", placeholder="my-images", max_chars=60).strip()
    st.caption(f"Stored in {plain(cache_folder() / 'own-images')}.")

    def store() -> None:
        if given is None:
            return
        try:
            folder = store_archive(given.getvalue(), name, session.identity)
        except (ValueError, OSError) as error:
            st.session_state["own-images-refused"] = str(error)
        else:
            session.set(PATH, str(folder))
            forget_uploads(session.identity)

    st.button(
        "Store", icon=":material/unarchive:", disabled=given is None or not name or not is_owner(session.identity),
        on_click=store,
    )  # fmt: skip
    if refused := st.session_state.pop("own-images-refused", ""):
        st.error(plain(refused), icon=":material/error:")
