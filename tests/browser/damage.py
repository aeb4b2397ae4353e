"""Damage to files: what somebody else's cards, results and pictures may look like, and names that are markup."""

from __future__ import annotations

import io
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from latency import ROOT
from tried import Tried

sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "core" / "store")]
SLOW = 10.0
"""Seconds after which a picture counts as one that holds up the server."""
KINDS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "MPO")


def damaged_files(count: int, seed: int) -> Tried:
    """Cards and results with random changes: each is read or refused in a sentence, and no other model is harmed."""
    from mutations import mutated
    from test_damaged_files import KEY, OTHER, use

    from core.store.local import DEFAULT_ROOT, Store

    tried, rng = Tried("cards and results of a model, changed at random"), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        for key in (KEY, OTHER):
            shutil.copytree(DEFAULT_ROOT / key, Path(folder) / key, ignore=shutil.ignore_patterns("*.safetensors"))
        files = sorted((Path(folder) / KEY).glob("*.json"))
        whole = {file: file.read_text() for file in files}
        for number in range(count):
            file = rng.choice(files) if number % 2 else Path(folder) / KEY / "card.json"
            file.write_bytes(mutated(whole[file], rng))
            try:
                use(Store(Path(folder)))
                tried.check(True, "")
            except Exception as error:
                tried.check(False, f"{file.name}, change {number}: {type(error).__name__}: {str(error)[:100]}")
            file.write_text(whole[file])
    return tried


def damaged_pictures(count: int, seed: int) -> Tried:
    """Photographs with bytes changed, cut off, repeated, or sizes that are not theirs."""
    from PIL import Image

    from core.physical import decoded_photo

    tried, rng = Tried("pictures changed at random, as photographs"), random.Random(seed)
    noise = np.random.default_rng(seed).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    whole = []
    for kind in KINDS:
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, kind)
        whole.append((kind, buffer.getvalue()))
    for number in range(count):
        kind, content = whole[number % len(whole)]
        started = time.monotonic()
        try:
            pixels = decoded_photo(changed(content, rng))
            held = pixels.ndim == 3 and pixels.dtype == np.uint8
        except ValueError as error:
            held = 0 < len(str(error)) < 500 and "\n" not in str(error)
        except Exception:
            held = False
        took = time.monotonic() - started
        tried.check(held and took < SLOW, f"{kind}, change {number}, {took:.0f} s")
    return tried


def changed(content: bytes, rng: random.Random) -> bytes:
    """A file with one kind of damage."""
    found = bytearray(content)
    match rng.randrange(5):
        case 0:
            return bytes(found[: rng.randrange(len(found))])
        case 1:  # the header, where sizes are
            for _ in range(rng.randrange(1, 6)):
                found[rng.randrange(min(64, len(found)))] = rng.choice((0, 1, 127, 128, 255))
        case 2:
            for _ in range(rng.randrange(1, 200)):
                found[rng.randrange(len(found))] = rng.randrange(256)
        case 3:
            at = rng.randrange(len(found))
            found[at:at] = found[at : at + rng.randrange(1, 5000)] * rng.randrange(1, 20)
        case 4:
            return bytes(found) + os.urandom(rng.randrange(1, 5000))
    return bytes(found)


def hostile_names() -> Tried:
    """Names that are markup, on every page and in every download: by the tests of them."""
    tried = Tried("names that are markup, on each page and in each download")
    place = ROOT / "tests" / "dashboard" / "test_hostile_names.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(place)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", said)}
    for word, number in counts.items():
        for _ in range(number):
            tried.check(word == "passed", f"a test is {word}")
    tried.check(bool(counts), f"no test was run: {said[-200:]}")
    return tried
