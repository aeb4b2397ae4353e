"""Fetches a published archive of a data set, checks it, and unpacks it safely."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.data.images import cache_folder

__all__ = ["Archive", "fetch", "fetch_archives"]

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Archive:
    """One file to be fetched.

    Attributes:
        url: Where it is.
        md5: MD5 of its bytes, as published.
        folder: Where its contents go, in the user's data folder.
        size: Its size in megabytes, about: the archive's part of the progress.
    """

    url: str
    md5: str
    folder: str = ""
    size: float = 1.0

    @property
    def file(self) -> str:
        """Its name."""
        return self.url.rpartition("/")[2]


def fetch(url: str, path: Path, md5: str, progress: Progress, what: str) -> None:
    """Fetches one file.

    Args:
        url: Where it is.
        path: Where it goes.
        md5: MD5 of its bytes.
        progress: Called with the share done, 0 to 1.
        what: Name of the data set, for messages.

    Raises:
        OSError: If it cannot be fetched, or is not what was published; the text says why.
    """
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(url, timeout=30) as response, path.open("wb") as file:
            size, done = int(response.headers.get("Content-Length") or 0), 0
            while block := response.read(1 << 18):
                file.write(block)
                digest.update(block)
                done += len(block)
                progress(min(done / size, 1.0) if size else 0.0)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise OSError(
            f"{what} could not be fetched from {url} ({reason}); "
            "on a machine without network, set TRIGGER_DATA to a folder that holds it"
        ) from error
    if digest.hexdigest() != md5:
        raise OSError(f"what {url} sent is not {what}: its MD5 is {digest.hexdigest()}, not {md5}; try again")
    progress(1.0)


def fetch_archives(archives: Sequence[Archive], what: str, progress: Progress | None = None) -> None:
    """Fetches archives into the user's data folder; nothing of them is there before all are complete.

    What is no ``.zip`` and no ``.tar.gz`` is kept as it is.

    Raises:
        OSError: If one cannot be fetched, or is not what was published; the text says why.
    """
    target = cache_folder() / "data"
    target.mkdir(parents=True, exist_ok=True)
    total, done = sum(one.size for one in archives), 0.0
    with tempfile.TemporaryDirectory(dir=target, prefix=".download-") as temporary:
        ready = Path(temporary) / "ready"
        ready.mkdir()
        for one in archives:
            packed = Path(temporary) / one.file

            def report(share: float, one: Archive = one, before: float = done) -> None:
                if progress is not None:
                    progress((before + share * one.size) / total)

            fetch(one.url, packed, one.md5, report, what)
            inside = ready / one.folder
            inside.mkdir(parents=True, exist_ok=True)
            _unpack(packed, inside)
            packed.unlink(missing_ok=True)
            done += one.size
        for top in ready.iterdir():
            shutil.copytree(top, target / top.name, dirs_exist_ok=True, copy_function=shutil.move)


def _unpack(packed: Path, folder: Path) -> None:
    if packed.name.endswith(".zip"):
        with zipfile.ZipFile(packed) as archive:  # names with .. and absolute ones stay inside the folder
            archive.extractall(folder)
    elif packed.name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(packed) as tar:
            tar.extractall(folder, filter="data")
    else:
        packed.rename(folder / packed.name)
