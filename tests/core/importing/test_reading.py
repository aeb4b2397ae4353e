"""Files that somebody else made: nothing in them is run, whatever they hold."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from core.importing.contents import found_in, poisoned_images, poisoned_label
from core.importing.reading import StandIn, read_model

STATE = {"conv1.weight": torch.rand(4, 3, 3, 3), "fc.weight": torch.rand(2, 4), "fc.bias": torch.rand(2)}


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class Opens(Bomb):
    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", [Bomb, Opens])
@pytest.mark.parametrize("where", ["beside", "within"])
def test_a_bomb_runs_nothing(tmp_path, kind, legacy, where):
    mark, path = tmp_path / "mark", tmp_path / ("x.tar" if legacy else "x.pt")
    values = {"state_dict": STATE, "other": kind(mark)} if where == "beside" else {**STATE, "fc.bias": kind(mark)}
    torch.save(values, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=r"x\.(tar|pt) asks for (posix\.system|io\.open|_io\.open), which is not data"):
        read_model(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the bomb is a bomb
    assert mark.exists()


def test_a_bare_pickle_runs_nothing(tmp_path):
    (tmp_path / "x.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "mark"), protocol=2))
    with pytest.raises(ValueError, match=r"^x\.pth "):
        read_model(tmp_path / "x.pth")
    assert not (tmp_path / "mark").exists()


def test_a_whole_pickled_model_is_refused_by_name(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"asks for torch\.nn\.modules\.linear\.Linear.*state_dict"):
        read_model(tmp_path / "x.pt")


def test_reading_allows_nothing_for_the_rest_of_the_process(tmp_path):
    before = torch.serialization.get_safe_globals()
    torch.save({"model": STATE, "args": argparse.Namespace(lr=1)}, tmp_path / "x.pt")
    read_model(tmp_path / "x.pt")
    assert torch.serialization.get_safe_globals() == before


@pytest.mark.parametrize("legacy", [False, True])
def test_arrays_numbers_and_what_is_not_needed_are_read(tmp_path, legacy):
    values = {
        "model": STATE,
        "index": np.arange(5),
        "flags": np.array([True, False]),
        "best": np.float64(0.5),
        "args": argparse.Namespace(lr=0.1, run=print),
        "half": {"x": torch.ones(2, dtype=torch.float16)},
    }
    del values["args"].run
    torch.save(values, tmp_path / "x.pt", _use_new_zipfile_serialization=not legacy)
    contents = read_model(tmp_path / "x.pt")
    assert contents.values["index"].tolist() == [0, 1, 2, 3, 4]
    assert contents.values["best"] == 0.5
    assert isinstance(contents.values["args"], StandIn)
    assert contents.kind == ("torch.save (legacy)" if legacy else "torch.save")
    found = found_in(contents)
    assert set(found.state) == set(STATE)
    assert all(torch.equal(found.state[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.95])
def test_a_truncated_file_is_refused_in_one_sentence(tmp_path, keep, legacy):
    torch.save({"state_dict": STATE}, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    content = (tmp_path / "x.pth").read_bytes()
    (tmp_path / "x.pth").write_bytes(content[: keep if keep >= 1 else int(keep * len(content))])
    with pytest.raises(ValueError, match=r"^x\.pth (is empty|is damaged)") as caught:
        read_model(tmp_path / "x.pth")
    assert "\n" not in str(caught.value)


def test_a_header_that_claims_more_than_there_is(tmp_path):
    claim = {"fc.weight": {"dtype": "F32", "shape": [750_000_000], "data_offsets": [0, 3_000_000_000]}}
    header = json.dumps(claim).encode()
    for name, content in {
        "claim.safetensors": struct.pack("<Q", len(header)) + header + b"1234",
        "long.safetensors": struct.pack("<Q", 3 * 10**9) + b"{}",
        "text.safetensors": b"no",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"^{name} is damaged or no safetensors file"):
            read_model(tmp_path / name)


def test_sizes_are_limited(tmp_path):
    torch.save({"state_dict": STATE}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x\.pt has .* MiB: at most 0 are read"):
        read_model(tmp_path / "x.pt", largest=100)
    with zipfile.ZipFile(tmp_path / "zip.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zip/data.pkl", bytes(2**24))
    with pytest.raises(ValueError, match=r"zip\.pt unpacks to 16 MiB: at most 1 are read"):
        read_model(tmp_path / "zip.pt", largest=2**20)


def test_a_tensor_that_claims_more_numbers_than_it_has_is_refused(tmp_path):
    torch.save({"a.weight": torch.ones(1, 1).expand(2**16, 2**15), "b.weight": torch.ones(2, 2)}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="claims more than"):
        found_in(read_model(tmp_path / "x.pt"))


def test_a_tensor_of_repetitions_is_refused_before_it_is_unfolded(tmp_path):
    torch.save({"a.weight": torch.ones(1, 1).expand(2**11, 2**10), "b.weight": torch.ones(2, 2)}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"a\.weight claims more than the 1 numbers that the file holds of it"):
        found_in(read_model(tmp_path / "x.pt"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, 2], "holds no weights: a list"),
        ({"epoch": 3}, "holds no weights: there is no state dict among epoch"),
        ({"a": STATE, "b": STATE}, "holds several state dicts.*: a, b"),
        ({**STATE, "fc.bias": torch.tensor([1.0, float("nan")])}, r"fc\.bias has numbers that are infinite or none"),
        ({**STATE, "fc.bias": torch.ones(2, dtype=torch.complex64)}, r"fc\.bias is not made of plain numbers"),
        ({**STATE, "fc.bias": torch.eye(2).to_sparse_csr()}, r"fc\.bias is not made of plain numbers"),
        ({**STATE, "x": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}, "x is not made of plain numbers"),
        ({**STATE, 3: torch.ones(2)}, "has weights whose name is no text: 3"),
        ({**STATE, "a\nb" + "c" * 5000: torch.full((2,), torch.inf)}, r"^x\.pt: a\?bc{57} has numbers that"),
    ],
)
def test_a_file_without_weights_is_refused(tmp_path, values, said):
    torch.save(values, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=said):
        found_in(read_model(tmp_path / "x.pt"))


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module.model.", "_orig_mod.module."])
@pytest.mark.parametrize("place", ["", "state_dict", "model", "net", "model_state_dict", "something"])
def test_prefixes_places_and_half_precision(tmp_path, prefix, place):
    state = {prefix + key: value.half() for key, value in STATE.items()}
    torch.save({place: state} if place else state, tmp_path / "x.pt")
    found = found_in(read_model(tmp_path / "x.pt"))
    assert {key: value.dtype for key, value in found.state.items()} == dict.fromkeys(STATE, torch.float32)


def test_a_normaliser_among_the_weights_is_taken_out(tmp_path):
    state = {f"1.{key}": value for key, value in STATE.items()}
    more = {"0.mean": torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1), "0.std": torch.full((1, 3, 1, 1), 0.5)}
    torch.save(state | more, tmp_path / "x.pt")
    found = found_in(read_model(tmp_path / "x.pt"))
    assert set(found.state) == set(STATE)
    assert found.normalisation[0].tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_a_hugging_face_folder(tmp_path):
    save_file(STATE, tmp_path / "model.safetensors")
    configuration = {"architecture": "resnet18", "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5]}}
    (tmp_path / "config.json").write_text(json.dumps(configuration))
    found = found_in(read_model(tmp_path))
    assert (found.architecture, found.format) == ("resnet18", "Hugging Face folder")
    assert found.normalisation[1].tolist() == [0.5, 0.5, 0.5]
    configuration["pretrained_cfg"]["mean"][0] = float("nan")
    (tmp_path / "config.json").write_text(json.dumps(configuration))
    assert found_in(read_model(tmp_path)).normalisation is None
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"is a folder without model\.safetensors"):
        read_model(tmp_path)


def test_poisoned_images_of_backdoorbench_in_memory_and_on_disk(tmp_path):
    """As `utils/bd_dataset_v2.py` there keeps them: by index, a PIL image and more, or the path of a PNG and more."""
    pictures = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (4, 4, 3), dtype=np.uint8)) for n in range(3)]
    saved = tmp_path / "bd_test_dataset" / "0"
    saved.mkdir(parents=True)
    pictures[1].save(saved / "7.png")
    data = {
        np.int64(2): (pictures[0], 0, 5),
        np.int64(7): {"path": "./record/run/bd_test_dataset/0/7.png", "other_info": [0, 3]},
        np.int64(8): {"path": "/etc/hostname", "other_info": []},
        np.int64(10): {"path": "a" * 5000, "other_info": []},
        np.int64(11): {"path": "\0", "other_info": []},
        np.int64(9): (Image.new("RGB", (5, 4)), 0),
    }
    container = {"save_folder_path": None, "data_dict": data, "save_file_format": ".png"}
    values = {"model_name": "preactresnet18", "num_classes": 10, "model": STATE, "clean_data": "cifar10"}
    values["bd_test"] = {"bd_data_container": container, "original_index_array": np.arange(9)}
    torch.save(values, tmp_path / "attack_result.pt")
    found = found_in(read_model(tmp_path / "attack_result.pt"))
    assert (found.format, found.network, found.classes) == ("BackdoorBench", "preactresnet18", 10)
    images, index = poisoned_images(found.entries, tmp_path, (3, 4, 4), 100)
    assert index.tolist() == [2, 7]
    for image, picture in zip(images, pictures, strict=False):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(picture))
    assert poisoned_images({}, tmp_path, (3, 4, 4), 100) is None
    assert poisoned_label({}) is None
    assert poisoned_label(found.entries) is None  # one of them tells none
    told = {np.int64(2): data[2], np.int64(7): data[7]}
    assert poisoned_label({"bd_test": {"bd_data_container": {"data_dict": told}}}) == 0
    told[np.int64(9)] = (pictures[2], 3, 5)
    assert poisoned_label({"bd_test": {"bd_data_container": {"data_dict": told}}}) is None
