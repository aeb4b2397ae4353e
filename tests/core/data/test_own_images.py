"""Archives of own images, good and hostile."""

from __future__ import annotations

import io
import stat
import zipfile

import pytest
from archives import encoded, pixels

from core.data import cache_folder, datasets, own_images
from core.data.own_images import unpack_images

GOOD = {f"{name}/{number}.png": encoded(pixels(number, 12, 12, 3)) for name in ("a", "b") for number in range(5)}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def archive(files) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("around", ["", "all of it/"])
def test_an_archive_of_class_folders_is_a_data_set(around):
    more = {"__MACOSX/a/._0.png": b"x", ".DS_Store": b"x", f"{around}README.txt": b"x", f"{around}a/run.sh": b"x"}
    folder = unpack_images(archive({around + name: content for name, content in GOOD.items()} | more), "letters")
    assert folder == cache_folder() / "own-images" / "letters"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == sorted(GOOD)
    data = datasets["folder"](path=str(folder), size=12)
    assert data.classes == ("a", "b")
    assert (len(data.load("train")), len(data.load("test"))) == (8, 2)
    assert data.title == "letters"
    with pytest.raises(ValueError, match="called letters already"):
        unpack_images(archive(GOOD), "letters")


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


HOSTILE = {
    "up": ({"../../escaped.png": b"x"}, "would lie outside of its folder"),
    "inner up": ({"a/../../escaped.png": b"x"}, "would lie outside of its folder"),
    "absolute": ({"/tmp/escaped.png": b"x"}, "would lie outside of its folder"),
    "backslashes": ({"..\\escaped.png": b"x"}, "would lie outside of its folder"),
    "drive": ({"C:\\escaped.png": b"x"}, "would lie outside of its folder"),
    "deep": ({"a/" * 20 + "x.png": b"x"}, "too long or too deep"),
    "link": ({link("a/link.png"): "/etc/passwd"}, "is a link or another special file"),
    "no image": ({"a/x.png": b"<svg/>"}, "a/x.png cannot be read as an image"),
    "twice": ({"a/./0.png": GOOD["a/0.png"]}, "two files called"),
    "huge picture": ({"a/x.ppm": b"P6 100000 1000 255 "}, "has 100000 x 1000 pixels|too large"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_one_sentence_and_leaves_nothing(kind, cache):
    files, said = HOSTILE[kind]
    with pytest.raises(ValueError, match=said) as raised:
        unpack_images(archive(GOOD | files), "bad")
    assert "\n" not in str(raised.value)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    assert not list((cache_folder() / "own-images").iterdir())


def test_bytes_and_files_are_bounded_by_what_comes_out(monkeypatch):
    bomb = GOOD | {"a/bomb.png": bytes(3 << 20)}
    assert len(archive(bomb).getvalue()) < 1 << 16
    monkeypatch.setattr(own_images, "MOST_UNPACKED", 1 << 20)
    with pytest.raises(ValueError, match="takes more than"):
        unpack_images(archive(bomb), "bad")
    monkeypatch.setattr(own_images, "_FILE", 1 << 19)
    with pytest.raises(ValueError, match=r"a/bomb\.png is larger than 0 MB"):
        unpack_images(archive(bomb), "bad")
    monkeypatch.setattr(own_images, "MOST_FILES", 9)
    with pytest.raises(ValueError, match="has 10 files: at most 9 are allowed"):
        unpack_images(archive(GOOD), "bad")


def test_what_is_no_archive_of_classes_is_refused():
    with pytest.raises(ValueError, match="cannot be read as a ZIP file"):
        unpack_images(io.BytesIO(b"PK nothing"), "bad")
    damaged = bytearray(archive(GOOD).getvalue())
    damaged[40:60] = bytes(20)
    with pytest.raises(ValueError, match="cannot be read as"):
        unpack_images(io.BytesIO(bytes(damaged)), "bad")
    with pytest.raises(ValueError, match="has one class, a; it needs at least 2"):
        unpack_images(archive({name: content for name, content in GOOD.items() if name[0] == "a"}), "bad")
    for name in ("", "../x", "a/b", ".hidden", "x" * 61, "a\n"):
        with pytest.raises(ValueError, match="is not allowed"):
            unpack_images(archive(GOOD), name)
