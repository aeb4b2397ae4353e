"""Choosing images of one's own: a folder or parquet files of this machine, or an archive; owner only."""

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

__all__ = ["KINDS", "NAMES", "choose_dataset", "dataset_label", "store_archive"]

_SIDE = params_of(datasets["folder"])["size"]
KINDS = {"folder": "Own images, in folders", "parquet": "Own images, parquet files"}
"""Data sets that are a path on this machine, and what they are called in lists."""
NAMES = [name for name in datasets if name in KINDS or "path" not in params_of(datasets[name])]
"""Data sets that can be chosen on a page."""


def dataset_label(name: str) -> str:
    """What a data set is called in lists."""
    return KINDS.get(name, datasets[name].label)


def choose_dataset(session: Session, name: str, prefix: str, what: str) -> Dataset | None:
    """The data set of a name; of images of one's own, draws the controls that say which.

    Args:
        session: Holds the selections.
        name: One of :data:`NAMES`.
        prefix: Begins the names of the selections.
        what: What the owner of the server alone may do with them, as in "training on images of one's own".

    Returns:
        The data set, or None where nothing is chosen yet, or what is cannot be used, which is said.
    """
    return _choose_own_images(session, name, prefix, what) if name in KINDS else datasets[name]()


def store_archive(content: bytes, name: str, by: str) -> Path:
    """Unpacks an archive that the browser sent.

    Raises:
        NotAllowed: If the session ``by`` is not the owner's.
        ValueError: If the archive or the name is refused.
        OSError: If it cannot be written.
    """
    require_owner(by, "storing images on this machine")
    return unpack_images(io.BytesIO(content), name)


def _choose_own_images(session: Session, kind: str, prefix: str, what: str) -> Dataset | None:
    if not ask_for_owner(session.identity, what, "own-images"):
        return None
    place: Choice[str] = Choice(f"{prefix}-folder", "", str)
    size: Choice[int] = Choice(
        f"{prefix}-size", int(_SIDE.default), integer_in(int(_SIDE.low or 8), int(_SIDE.high or 512))
    )
    folders = kind == "folder"
    st.text_input(
        "Folder on this machine" if folders else "Parquet file on this machine, or a folder of them",
        placeholder="/path/to/the/folder",
        help="With one folder per class, or with train and test that have them."
        if folders
        else "As Hugging Face lays them out: a column of images, and one of labels with the names of the classes.",
        **session.widget(place),
    )
    if folders:
        with st.expander("Bring an archive instead"):
            _draw_upload(session, place)
    st.number_input(
        "Size (pixels)",
        int(_SIDE.low or 8),
        int(_SIDE.high or 512),
        help="Side that images are resized and cropped to. Trigger and ShrinkPad grow with it from 64 on.",
        **session.widget(size),
    )
    values: dict[str, object] = {"path": session.get(place).strip(), "size": session.get(size)}
    if not folders:
        column = st.text_input(
            "Column of the labels", key=f"{prefix}-column", placeholder="the only one", max_chars=100
        ).strip()
        values |= {"column": column} if column else {}
    if not values["path"]:
        st.caption("Name a folder, or bring an archive." if folders else "Name a file or a folder.")
        return None
    try:
        dataset = datasets[kind].from_dict(values)
        count = len(dataset.classes)
    except (ValueError, OSError) as error:
        st.error(plain(error), icon=":material/error:")
        return None
    st.caption(f"{count} classes: {plain(', '.join(dataset.classes[:6]))}{', ...' * (count > 6)}")
    return dataset


def _draw_upload(session: Session, place: Choice[str]) -> None:
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
            session.set(place, str(folder))
            forget_uploads(session.identity)

    st.button(
        "Store", icon=":material/unarchive:", disabled=given is None or not name or not is_owner(session.identity),
        on_click=store,
    )  # fmt: skip
    if refused := st.session_state.pop("own-images-refused", ""):
        st.error(plain(refused), icon=":material/error:")
