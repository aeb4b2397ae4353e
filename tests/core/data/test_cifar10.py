"""CIFAR-10 from small files made here, from damaged and hostile ones, and from the real data where they are."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile

import numpy as np
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from core.data import DataMissing, cache_folder, cifar10, datasets
from core.data.batches import read_batch
from core.data.decoded import DecodedFile

REAL = datasets["cifar10"]().available()


def pictures(count: int, seed: int = 0) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(seed)
    smooth = rng.integers(40, 216, (count, 1, 1, 3)) + rng.integers(-8, 8, (count, 32, 32, 3))
    return smooth.astype(np.uint8), [int(label) for label in rng.integers(0, 10, count)]


def encode(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write_parquet(path, images, labels, kind="PNG", column="img"):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": encode(image, kind), "path": None} for image in images]
    parquet.write_table(pyarrow.table({column: cells, "label": labels}), path)


def batch_bytes(pixels: np.ndarray, labels: list[int]) -> bytes:
    data = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(len(pixels), 3072)
    return pickle.dumps({b"data": data, b"labels": labels}, protocol=2)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def batches(monkeypatch):
    """Two training batches and one test batch of 20 images, and their MD5s as the published ones."""
    names = {"data_batch_1": 1, "data_batch_2": 2, "test_batch": 3}
    contents = {name: batch_bytes(*pictures(20, seed)) for name, seed in names.items()}
    listed = {
        "train": [(name, md5(contents[name])) for name in ("data_batch_1", "data_batch_2")],
        "test": [("test_batch", md5(contents["test_batch"]))],
    }
    monkeypatch.setattr(cifar10, "published_batches", listed.__getitem__)
    return contents


def write_batches(folder, contents):
    for name, content in contents.items():
        (folder / cifar10.BATCHES).mkdir(exist_ok=True)
        (folder / cifar10.BATCHES / name).write_bytes(content)


def write_archive(path, contents):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{cifar10.BATCHES}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def planes(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


@pytest.mark.parametrize("inner", ["cifar10/plain_text", "plain_text"])
@pytest.mark.parametrize("column", ["img", "image"])
def test_parquet_pixels_labels_and_shards_in_order(folder, inner, column):
    images, labels = pictures(9)
    write_parquet(folder / inner / "train-00000-of-00002.parquet", images[:5], labels[:5], column=column)
    write_parquet(folder / inner / "train-00001-of-00002.parquet", images[5:], labels[5:], column=column)
    write_parquet(folder / inner / "test-00000-of-00001.parquet", images[:2], labels[:2], column=column)
    found = datasets["cifar10"]().load("train")
    assert torch.equal(found.images, planes(images))
    assert found.labels.tolist() == labels
    assert (found.encoding, found.name, found.classes[4]) == ("original", "cifar10", "deer")
    for limit in (0, 1, 6, 50):
        assert datasets["cifar10"]().load("train", limit=limit).fingerprint == found.subset(slice(limit)).fingerprint


def test_jpeg_is_named_as_such_also_from_the_cache(folder):
    images, labels = pictures(4)
    for split in ("train", "test"):
        write_parquet(folder / f"plain_text/{split}-0.parquet", images, labels, kind="JPEG")
    sets = [datasets["cifar10"]().load("test", limit=limit) for limit in (2, None, None, 2)]
    assert {s.encoding for s in sets} == {"JPEG-re-encoded"}
    assert sets[1].fingerprint == sets[2].fingerprint
    assert sets[0].fingerprint == sets[3].fingerprint == sets[1].subset(slice(2)).fingerprint
    assert (sets[1].images.float() - planes(images).float()).abs().mean() < 6


def stored_files():
    return sorted((cache_folder() / "decoded").iterdir())


def test_cache_is_used_and_a_changed_or_damaged_one_is_not(folder):
    source = folder / "plain_text/test-0.parquet"
    images, labels = pictures(4)
    write_parquet(source, images, labels)
    write_parquet(folder / "plain_text/train-0.parquet", images, labels)
    load = datasets["cifar10"]().load
    first = load("test")
    (stored,) = stored_files()
    assert stored.suffix == ".safetensors"

    times = source.stat()
    source.write_bytes(b"x" * times.st_size)  # the source cannot be read any more: what comes now is from the cache
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    again = load("test")
    assert again.fingerprint == first.fingerprint
    again.images.zero_()  # a caller's copy, not the file
    assert load("test").fingerprint == first.fingerprint

    write_parquet(source, images, labels)
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    for damaged in (b"", b"rubbish", stored.read_bytes()[:-100]):
        stored.write_bytes(damaged)
        assert load("test").fingerprint == first.fingerprint
        assert len(stored.read_bytes()) > 4 * 3072  # written anew

    others, _ = pictures(4, seed=9)
    write_parquet(source, others, labels)
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert torch.equal(load("test").images, planes(others))


def test_the_cache_file_depends_on_path_size_and_time(tmp_path):
    def name():
        return DecodedFile("x", [tmp_path / "a"]).path

    (tmp_path / "a").write_bytes(b"1")
    os.utime(tmp_path / "a", ns=(0, 10**9))
    first = name()
    assert name() == first
    os.utime(tmp_path / "a", ns=(0, 2 * 10**9))
    later = name()
    (tmp_path / "a").write_bytes(b"12")
    os.utime(tmp_path / "a", ns=(0, 10**9))
    (tmp_path / "b").write_bytes(b"1")
    os.utime(tmp_path / "b", ns=(0, 10**9))
    assert len({first, later, name(), DecodedFile("x", [tmp_path / "b"]).path}) == 4


def test_a_cache_that_cannot_be_written_is_no_error(folder, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    images, labels = pictures(3)
    for split in ("train", "test"):
        write_parquet(folder / f"plain_text/{split}-0.parquet", images, labels)
    assert torch.equal(datasets["cifar10"]().load("test").images, planes(images))


def test_no_partial_file_stays_in_the_cache(folder, monkeypatch):
    images, labels = pictures(3)
    write_parquet(folder / "plain_text/test-0.parquet", images, labels)

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("core.data.decoded.os.replace", full_disk)
    assert len(datasets["cifar10"]().load("test")) == 3
    assert stored_files() == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a parquet file", "cannot be read as CIFAR-10 parquet"),
        ([{"bytes": b"not an image", "path": None}], "image 0 of .* cannot be decoded"),
        ([{"bytes": encode(np.zeros((8, 9, 3), np.uint8), "PNG"), "path": None}], "is 9 x 8 pixels, not 32 x 32"),
        ([3], "cannot be read as CIFAR-10 parquet"),
    ],
)
def test_bad_parquet_is_a_value_error(folder, content, message):
    path = folder / "plain_text/test-0.parquet"
    path.parent.mkdir()
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        parquet.write_table(pyarrow.table({"img": content, "label": [0]}), path)
    with pytest.raises(ValueError, match=message):
        datasets["cifar10"]().load("test")


def test_a_label_out_of_range_is_a_value_error(folder):
    images, _ = pictures(1)
    write_parquet(folder / "plain_text/test-0.parquet", images, [10])
    with pytest.raises(ValueError, match="labels go from 10 to 10"):
        datasets["cifar10"]().load("test")


@pytest.mark.parametrize("packed", [False, True])
def test_archive_and_its_unpacked_folder(folder, batches, packed):
    if packed:
        write_archive(folder / cifar10.ARCHIVE, batches)
    else:
        write_batches(folder, batches)
    data = datasets["cifar10"]()
    assert data.available()
    first, second = pictures(20, 1), pictures(20, 2)
    found = data.load("train")
    assert torch.equal(found.images, planes(np.concatenate((first[0], second[0]))))
    assert found.labels.tolist() == first[1] + second[1]
    assert found.encoding == "original"
    for limit in (0, 3, 20, 21):
        assert data.load("train", limit=limit).fingerprint == found.subset(slice(limit)).fingerprint
    assert torch.equal(data.load("test", limit=5).images, planes(pictures(20, 3)[0][:5]))


@pytest.mark.parametrize("packed", [False, True])
def test_a_changed_batch_is_refused(folder, batches, packed):
    batches["test_batch"] += b"!"
    if packed:
        write_archive(folder / cifar10.ARCHIVE, batches)
    else:
        write_batches(folder, batches)
    with pytest.raises(ValueError, match="test_batch is damaged or not CIFAR-10: its MD5 is"):
        datasets["cifar10"]().load("test")


def test_a_cut_archive_is_a_value_error(folder, batches):
    path = folder / cifar10.ARCHIVE
    write_archive(path, batches)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"cannot be read|damaged"):
        datasets["cifar10"]().load("test")


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_hostile_batch_does_not_run_even_with_the_right_md5(tmp_path):
    evidence = tmp_path / "it-ran"
    content = pickle.dumps({b"data": Hostile(evidence), b"labels": []})
    with pytest.raises(ValueError, match=r"mkdir, which is not an array: refused"):
        read_batch(content, md5(content), "data_batch_1")
    assert not evidence.exists()
    pickle.loads(content)  # an ordinary reader would have run it
    assert evidence.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"rubbish",
        pickle.dumps([1]),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)}),
        pickle.dumps({b"data": np.zeros((2, 3072)), b"labels": [0, 1]}),
        pickle.dumps({b"data": np.zeros((3, 3072), np.uint8), b"labels": [0, 1]}),
    ],
)
def test_a_batch_of_something_else_is_a_value_error(content):
    with pytest.raises(ValueError, match="test_batch is not a batch of CIFAR-10"):
        read_batch(content, md5(content), "test_batch")


def test_python_2_batches_as_published_can_be_read():
    # The form of the published files: protocol 2, numpy.core, data as a byte string.
    def text(content: bytes) -> bytes:
        return b"U" + bytes([len(content)]) + content

    raw = bytes(range(256)) * 12
    content = b"".join(
        (
            b"\x80\x02}(" + text(b"data") + b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85",
            text(b"b") + b"tR(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR(K\x03",
            text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00" + raw + b"tb",
            text(b"labels") + b"]K\x07au.",
        )
    )
    pixels, labels = read_batch(content, md5(content), "data_batch_1")
    assert pixels.tobytes() == raw
    assert labels == [7]


def test_published_md5s_are_those_of_torchvision():
    train = dict(cifar10.published_batches("train"))
    assert len(train) == 5
    assert train["data_batch_1"] == "c99cafc152244af753f735de768cd75f"
    assert dict(cifar10.published_batches("test")) == {"test_batch": "40351d587109b95175f43aff81a1287e"}


def test_missing_data_say_where_and_what(folder):
    data = datasets["cifar10"]()
    assert not data.available()
    with pytest.raises(DataMissing, match="TRIGGER_DATA") as caught:
        data.load("test")
    assert str(folder) in str(caught.value)
    assert "cifar-10-batches-py/" in str(caught.value)


def test_one_split_is_not_enough_to_be_available(folder):
    write_parquet(folder / "plain_text/test-0.parquet", *pictures(1))
    assert not datasets["cifar10"]().available()


def test_folders_are_looked_into_in_order(folder, tmp_path):
    for place, seed in ((cache_folder() / "data", 1), (tmp_path / "data", 2)):
        for split in ("train", "test"):
            write_parquet(place / f"cifar10/plain_text/{split}-0.parquet", *pictures(2, seed))
    assert torch.equal(datasets["cifar10"]().load("test").images, planes(pictures(2, 2)[0]))
    for split in ("train", "test"):
        (folder / f"cifar10/plain_text/{split}-0.parquet").unlink()
    assert torch.equal(datasets["cifar10"]().load("test").images, planes(pictures(2, 1)[0]))


@pytest.fixture
def published(tmp_path, batches, monkeypatch):
    """An archive at a URL, as torchvision would name it."""
    from torchvision.datasets import CIFAR10

    path = tmp_path / "published.tar.gz"
    write_archive(path, batches)
    monkeypatch.setattr(CIFAR10, "url", path.as_uri())
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(path.read_bytes()))
    return path


def test_download_reports_progress_and_gives_loadable_data(folder, published):
    shares = []
    datasets["cifar10"]().download(shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert torch.equal(datasets["cifar10"]().load("test").images, planes(pictures(20, 3)[0]))
    assert [entry.name for entry in (cache_folder() / "data").iterdir()] == [cifar10.BATCHES]
    datasets["cifar10"]().download()  # again, over what is there
    assert datasets["cifar10"]().available()


def leftovers():
    return list((cache_folder() / "data").rglob("*"))


def test_a_download_with_the_wrong_md5_leaves_nothing(folder, published):
    published.write_bytes(published.read_bytes() + b"!")
    with pytest.raises(OSError, match="is not CIFAR-10: its MD5 is"):
        datasets["cifar10"]().download()
    assert leftovers() == []


def test_an_interrupted_download_leaves_nothing(folder, published):
    def cancel(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets["cifar10"]().download(cancel)
    assert leftovers() == []


def test_without_network_the_error_says_what_to_do(folder, monkeypatch):
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "url", "http://host.invalid/cifar.tar.gz")
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with pytest.raises(OSError, match=r"could not be fetched from http://host\.invalid.*TRIGGER_DATA"):
        datasets["cifar10"]().download()
    assert leftovers() == []


@pytest.mark.skipif(not REAL, reason="CIFAR-10 is not on this machine; set TRIGGER_DATA")
def test_the_real_test_set(tmp_path, monkeypatch):
    few = datasets["cifar10"]().load("test", limit=100)
    if os.environ.get("TRIGGER_DATA"):  # with the data elsewhere, keep this test's cache out of the user's
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    whole = datasets["cifar10"]().load("test")
    assert whole.labels.bincount().tolist() == [1000] * 10
    assert few.fingerprint == whole.subset(slice(100)).fingerprint
    assert datasets["cifar10"]().load("test").fingerprint == whole.fingerprint
    # The published mean and spread of CIFAR-10, which JPEG hardly moves.
    mean, spread = whole.floats().mean(dim=(0, 2, 3)), whole.floats().std(dim=(0, 2, 3))
    torch.testing.assert_close(mean, torch.tensor([0.494, 0.485, 0.450]), atol=0.01, rtol=0)
    torch.testing.assert_close(spread, torch.tensor([0.247, 0.243, 0.262]), atol=0.01, rtol=0)
