"""A user's own images from an archive: unpacked safely into the user's cache, under a name.

Nothing of an archive is believed: names lead nowhere else, links are refused, bytes are counted as they come out, and a
picture's size is read before it is decoded. What is refused leaves nothing behind.
"""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from PIL import Image

from core.data.images import cache_folder
from core.data.layout import layout_of
from core.data.reader import formats, suffixes

__all__ = ["MOST_FILES", "MOST_PIXELS", "MOST_UNPACKED", "unpack_images"]

MOST_FILES = 100_000
"""Files in one archive."""
MOST_UNPACKED = 4 << 30
"""Bytes of one archive's files."""
MOST_STORED = 20 << 30
"""Bytes of all unpacked archives together."""
MOST_PIXELS = 40_000_000
"""Pixels of one picture."""
_FILE = 64 << 20  # bytes of one picture
_DEPTH, _NAME = 8, 200
_BLOCK = 1 << 20


def unpack_images(archive: IO[bytes], name: str) -> Path:
    """Unpacks an archive of class folders.

    Args:
        archive: A ZIP file with one folder per class, or ``train/`` and ``test/`` that have them.
        name: What the images are called from now on.

    Returns:
        The folder, ``own-images/NAME`` in the user's cache.

    Raises:
        ValueError: If the name is not allowed or taken, or the archive is damaged, hostile, too large, or not of class
            folders; one sentence. Nothing is stored then.
        OSError: If it cannot be written.
    """
    if not re.fullmatch(r"[\w][\w.-]{0,59}", name) or name.endswith("."):
        raise ValueError(f"name = {name!r} is not allowed: letters, digits, '.', '_' and '-', at most 60 of them")
    root = cache_folder() / "own-images"
    root.mkdir(parents=True, exist_ok=True)
    target = root / name
    if target.exists():
        raise ValueError(f"there are own images called {name} already; choose another name")
    stored = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    room = min(MOST_UNPACKED, MOST_STORED - stored, shutil.disk_usage(root).free // 2)
    with tempfile.TemporaryDirectory(dir=root, prefix=".part-") as temporary:
        inside = Path(temporary) / name
        inside.mkdir()
        try:
            with zipfile.ZipFile(archive) as opened:
                _unpack(opened, inside, room)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
            raise ValueError(f"the archive cannot be read as a ZIP file: {error}") from None
        folder = _top(inside)
        try:
            layout_of(folder)
        except ValueError as error:
            raise ValueError(str(error).replace(f"{folder}/", "").replace(str(folder), "the archive")) from None
        folder.rename(target)
    return target


def _unpack(archive: zipfile.ZipFile, folder: Path, room: int) -> None:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MOST_FILES:
        raise ValueError(f"the archive has {len(members):,} files: at most {MOST_FILES:,} are allowed")
    for member in members:
        path = _safe(member)
        if path.suffix.lower() not in suffixes() or any(part.startswith((".", "__MACOSX")) for part in path.parts):
            continue
        file = folder.joinpath(*path.parts)
        file.parent.mkdir(parents=True, exist_ok=True)
        room -= _copy(archive, member, file, room)
        _check(file, member.filename)


def _safe(member: zipfile.ZipInfo) -> PurePosixPath:
    """The path of a file in the archive.

    Raises:
        ValueError: If it leads out of the folder, is no plain file, or is encrypted.
    """
    name = member.filename
    path = PurePosixPath(name.replace("\\", "/"))
    odd = any(ord(character) < 32 for character in name) or ":" in name
    if path.is_absolute() or ".." in path.parts or odd or not path.parts:
        raise ValueError(f"the archive has a file called {name!r}, which would lie outside of its folder: refused")
    if len(path.parts) > _DEPTH or max(len(part.encode()) for part in path.parts) > _NAME:
        raise ValueError(f"the archive has the file {name[:60]!r}, whose path is too long or too deep")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise ValueError(f"the archive has {name!r}, which is a link or another special file: refused")
    if member.flag_bits & 1:
        raise ValueError("the archive is encrypted; bring one that is not")
    return path


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: Path, room: int) -> int:
    """Unpacks one file, and returns how many bytes it has: as many as came out, whatever the archive says."""
    done = 0
    try:
        with archive.open(member) as source, file.open("xb") as out:
            while block := source.read(_BLOCK):
                done += len(block)
                if done > _FILE:
                    raise ValueError(f"{member.filename} is larger than {_FILE >> 20} MB")
                if done > room:
                    raise ValueError(
                        f"the archive takes more than {MOST_UNPACKED >> 30} GiB, or than there is room for"
                    )
                out.write(block)
    except FileExistsError:
        raise ValueError(f"the archive has two files called {member.filename}") from None
    return done


def _check(file: Path, name: str) -> None:
    """Raises:
    ValueError: If a file is no picture, or has too many pixels; only its beginning is read.
    """
    try:
        with Image.open(file, formats=formats()) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        raise ValueError(f"{name} is too large: at most {MOST_PIXELS // 10**6} million pixels are allowed") from None
    except Exception:  # made-up files make Pillow's readers raise nearly anything
        raise ValueError(f"{name} cannot be read as an image") from None
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"{name} has {width} x {height} pixels: at most {MOST_PIXELS // 10**6} million pixels are allowed"
        )


def _top(folder: Path) -> Path:
    """Where the images are: archives often have one folder around everything."""
    inside = list(folder.iterdir())
    if len(inside) == 1 and inside[0].is_dir() and sum(path.is_dir() for path in inside[0].iterdir()) > 1:
        return inside[0]
    return folder
