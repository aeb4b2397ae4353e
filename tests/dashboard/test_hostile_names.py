"""Names that are markup, in files of others: on no page and in no download do they mean anything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from google.protobuf.json_format import MessageToDict
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.attacks import attacks
from core.data.folder import Folder
from core.store.local import DEFAULT_ROOT
from dashboard.server.resources import jobs
from dashboard.words.escaping import plain

FOLDER_NAMES = (
    "<img src=x onerror=alert(1)>",
    "![x](http:evil.example)",
    "[a](javascript:alert(1))",
    ":red[hot] :smile:",
    "$E=mc^2$",
    "`code`",
    "ab\u202egpj",
    "**bold**",
    "<script>alert(2)<script>",
    "&lt;b&gt; www.evil.example",
)
"""Ten classes, as folders can be called."""
OTHER_NAMES = (
    "</script><script>alert(1)</script>",
    "![x](http://evil.example/x.png)",
    ":material/bug_report:",
    "[ref]: http://evil.example",
    "<!-- <b onmouseover='alert(1)'>",
    *FOLDER_NAMES[4:9],
)
"""Ten classes, as only a card can have them."""
ENCODING = "<img src=x onerror=alert(3)> ![x](http://evil.example/e.png) $E=mc^2$ `code`"
LABEL = "Bad <img src=x onerror=alert(4)> ![x](http://evil.example/l.png) :red[hot]"
MEANS_SOMETHING = (
    "<img src=x",
    "<script>alert",
    "</script><script",
    "<!-- <b",
    "![x](",
    "](javascript",
    "](http",
    "[ref]:",
    "http://evil",
    "www.evil",
    ":material/bug_report:",
    ":red[hot]",
    ":smile:",
    "$E=mc^2$",
    "`code`",
    "\u202e",
    "**bold**",
    "&lt;b&gt;",
)
IN_HTML = MEANS_SOMETHING[:4]
PAGES = (
    ("location", {}),
    ("appearance", {}),
    ("defenses", {}),
    ("defenses", {"part": "repairs", "with": "fine-pruning"}),
    ("defenses", {"part": "repairs", "with": "neural-cleanse"}),
    ("defenses", {"part": "repairs", "with": "auto-encoder"}),
    ("defenses", {"part": "cost"}),
    ("enhanced", {}),
    ("saliency", {}),
    ("saliency", {"layout": "grid"}),
    ("physical", {}),
    ("physical", {"part": "sheet"}),
    ("physical", {"part": "photo"}),
    ("paper", {}),
    ("paper", {"view": "numbers"}),
    ("lesson", {}),
    ("lesson", {"step": "4"}),
    ("train", {}),
    ("open_model", {}),
)
IDS = [" ".join([name, *query.values()]) for name, query in PAGES]


def _nothing_to_compile(*_: Any) -> Iterator[None]:
    yield from ()


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[bool], Path]]:
    """Makes a store whose cards, images and attack are named so, with or without its images."""
    monkeypatch.delenv("TRIGGER_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dashboard.server.compiling.compile_in_background", _nothing_to_compile)
    monkeypatch.setattr(attacks["badnets"], "label", LABEL)
    st.cache_resource.clear()
    st.cache_data.clear()

    def make(with_images: bool) -> Path:
        images = tmp_path / "<img src=x onerror=alert(5)> ![x](http:evil)"
        for number, name in enumerate(FOLDER_NAMES if with_images else ()):
            (images / name).mkdir(parents=True)
            for copy in range(8):
                Image.new("RGB", (32, 32), (20 * number, 9 * copy, 99)).save(images / name / f"{copy} `code`.png")
            (images / name / "![x](note).txt").touch()
        for key in ("badnets", "badnets+", "benign"):
            _rename(tmp_path / "checkpoints/hostile/resnet20" / key, key, images, with_images)
        damaged = tmp_path / "checkpoints/hostile/resnet20/damaged"
        shutil.copytree(damaged.with_name("benign"), damaged)
        _edit(damaged, dataset=f"{FOLDER_NAMES[0]}{OTHER_NAMES[1]}")
        return tmp_path / "checkpoints"

    yield make
    jobs().close()
    st.cache_resource.clear()
    st.cache_data.clear()


def _rename(folder: Path, attack: str, images: Path, there: bool) -> None:
    shutil.copytree(DEFAULT_ROOT / "shapes10/resnet20" / attack, folder)
    classes = Folder(path=str(images)).classes if there else OTHER_NAMES
    source = {"name": "folder", "params": {"path": str(images), "size": 32, "seed": 0}}
    _edit(folder, dataset="hostile", source=source, classes=classes, encoding=ENCODING)


def _edit(folder: Path, **changes: Any) -> None:
    file = folder / "card.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in what an element is made of, in JSON too, and where it is."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from texts(inner, f"{where}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, where)
    elif isinstance(value, str):
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = None
        if isinstance(parsed, dict | list):
            yield from texts(parsed, where)
        else:
            yield where, value


def meanings(text: str, marks: tuple[str, ...] = MEANS_SOMETHING) -> list[str]:
    return [mark for mark in marks if mark in text]


def elements(test: AppTest) -> Iterator[Any]:
    """All elements of a page, those of the sidebar too."""
    waiting = list(test._tree.children.values())
    while waiting:
        node = waiting.pop()
        waiting += list(getattr(node, "children", {}).values())
        yield node


@pytest.mark.parametrize("with_images", [True, False], ids=["images", "no images"])
@pytest.mark.parametrize(("name", "query"), PAGES, ids=IDS)
def test_names_mean_nothing_on_any_page_and_in_any_download(
    hostile: Callable[[bool], Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    query: dict[str, str],
    with_images: bool,
) -> None:
    hostile(with_images)
    saved: list[tuple[str, str, Any]] = []
    button = st.download_button

    def recorded(label: str, data: Any, file_name: str, mime: str, **rest: Any) -> bool:
        saved.append((file_name, mime, data))
        return button(label, data, file_name, mime, **rest)

    monkeypatch.setattr(st, "download_button", recorded)
    test = AppTest.from_string(f"from dashboard.views import {name}\n{name}.show()", default_timeout=200)
    for key, value in {"model": "hostile/resnet20/badnets", **query}.items():
        test.query_params[key] = value
    test.run()
    assert not test.exception
    seen = 0
    for element in elements(test):
        proto = getattr(element, "proto", None)
        if proto is None:
            continue
        for where, text in texts(MessageToDict(proto)):
            seen += 1
            marks = IN_HTML if element.type == "html" else MEANS_SOMETHING
            assert not meanings(text, marks), (type(element).__name__, where, text[:300])
    assert seen > 20
    for file, mime, data in saved:
        assert not meanings(file)
        if mime != "text/html":
            continue
        content = data() if callable(data) else data
        text = content.decode() if isinstance(content, bytes) else content
        assert not meanings(text, IN_HTML), file


@pytest.mark.parametrize("name", [*FOLDER_NAMES, *OTHER_NAMES, ENCODING, LABEL])
def test_a_name_that_is_shown_means_nothing_and_stays_as_it_is(name: str) -> None:
    shown = plain(name)
    assert not meanings(shown)
    assert plain(shown) == shown
    assert "\n" not in shown
