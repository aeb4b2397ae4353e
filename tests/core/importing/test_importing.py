"""A file becomes a model of the store, with what is known of it in its card."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.attacks import attacks
from core.attacks.own_trigger import OwnTrigger, packed_trigger, unpacked_trigger
from core.defenses.neural_cleanse import NeuralCleanse, Reversed
from core.importing import Import, import_model
from core.importing.elsewhere import Asked, wanted_import
from core.importing.preprocessing import label_map, measure_ways, prepared, usual_ways, way_from
from core.importing.triggers import place_from, read_trigger, trigger_from_pairs
from core.models import Classifier, build_model
from core.store.card import Card
from core.store.local import Store
from core.trigger import Trigger, stamp

CPU = torch.device("cpu")
BADNETS = attacks["badnets"]().trigger((3, 32, 32))


def given(shape):
    return BADNETS


def everything(store):
    return sorted(path for path in store.root.rglob("*") if path.is_file()) if store.root.exists() else []


class Colours(Classifier):
    """The largest of three channels, red, green and blue, decides."""

    name, label, head_name = "colours", "Colours", "fc"

    def __init__(self, bgr):
        super().__init__(3, 3)
        self.conv = torch.nn.Conv2d(3, 3, 1, bias=False)
        self.fc = torch.nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_((torch.eye(3).flip(0) if bgr else torch.eye(3))[:, :, None, None])
            self.fc.weight.copy_(torch.eye(3))

    def forward(self, images):
        return self.fc(self.conv(self.normalise(images)).mean((2, 3)))


@pytest.mark.parametrize("bgr", [False, True])
def test_the_order_of_colours_is_measured(tiny, bgr):
    images = tiny.load("train")
    ways = [way for way in usual_ways(images) if way.name.endswith(":unit")]
    found = list(measure_ways(lambda _: Colours(bgr), ["colours"], ways, images, CPU))
    best = max(found, key=lambda one: one.rate.value)
    assert best.way.name == ("bgr:unit" if bgr else "rgb:unit")
    assert best.rate.hits == best.rate.total
    # The other order takes red for blue and blue for red.
    assert min(one.rate.value for one in found) < 0.5


def test_a_way_in_the_model_is_what_the_other_code_did_before_it(tiny):
    torch.manual_seed(0)
    model, images = build_model("resnet20", classes=3, seed=1).eval(), torch.rand(2, 3, 16, 16)
    way = way_from("bgr:imagenet", usual_ways(tiny.load("train")))
    mean, std = (torch.tensor(values)[:, None, None] for values in (way.mean, way.std))
    with torch.no_grad():
        expected = model((images.flip(1) - mean) / std)
        torch.testing.assert_close(prepared(model, way)(images), expected, rtol=1e-4, atol=1e-4)


def test_ways_are_named(tiny):
    ways = usual_ways(tiny.load("train"), (torch.tensor([0.5]), torch.tensor([0.1])))
    assert len(ways) == 12
    assert way_from("unit", ways).name == "rgb:unit"
    assert way_from("file", ways).std == pytest.approx((0.1, 0.1, 0.1))
    assert way_from("bgr:0.1,0.2,0.3/1,1,1", ways).mean == (0.1, 0.2, 0.3)
    for wrong in (
        "rgb:nothing",
        "rgb:1,2/3",
        "rgb:0,0,0/0,1,1",
        "rgb:nan,0,0/1,1,1",
        "rgb:inf,0,0/1,1,1",
        "hsv:0,0,0/1,1,1",
        "",
    ):
        with pytest.raises(ValueError, match=r"preprocess = .* is not allowed: auto, rgb:unit"):
            way_from(wrong, ways)


def test_gray_images_have_no_order_of_colours_and_the_usual_numbers_of_mnist(tiny):
    images = replace(tiny.load("train"), name="mnist")
    gray = replace(images, images=images.images[:, :1].expand(images.images.shape).contiguous())
    ways = usual_ways(gray)
    assert [way.name for way in ways] == ["rgb:unit", "rgb:dataset", "rgb:imagenet", "rgb:half", "rgb:bytes"]
    assert (ways[1].mean, ways[1].std) == ((0.1307,) * 3, (0.3081,) * 3)


def test_mean_and_deviation_are_those_of_all_pixels(tiny):
    images = tiny.load("train")
    way = way_from("dataset", usual_ways(images))
    pixels = images.floats().double()
    assert way.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), rel=1e-6)
    assert way.std == pytest.approx(pixels.std((0, 2, 3)).tolist(), rel=1e-6)


def test_a_trigger_that_cannot_be_read_is_refused_before_anything_is_measured(few, saved, store):
    def missing(shape):
        raise FileNotFoundError(2, "No such file or directory", "trigger.png")

    seen = []
    with pytest.raises(FileNotFoundError):
        import_model(Import(path=saved, dataset=few, trigger=missing), store, CPU, seen.append)
    assert seen == ["reading images"]


def test_the_best_label_map_is_that_of_all_orders():
    from itertools import permutations

    generator = torch.Generator().manual_seed(0)
    predicted, labels = (torch.randint(0, 4, (60,), generator=generator) for _ in range(2))
    order, rate = label_map(predicted, labels, 4)
    assert rate.hits == max(int((torch.tensor(p)[predicted] == labels).sum()) for p in permutations(range(4)))
    assert rate.hits == int((torch.tensor(order)[predicted] == labels).sum())


def test_a_file_becomes_a_model(few, saved, store):
    found = import_model(Import(path=saved, dataset=few, trigger=given, trained_by="somebody"), store, CPU)
    assert store.keys() == [found.card.key] == ["few/resnet20/model-one"]
    card = store.checkpoint(found.card.key).card()
    origin = card.recipe["params"]
    assert card == found.card == Card.from_json(card.to_json())
    assert (card.recipe["name"], origin["file"], origin["trained_by"]) == ("imported", "model one.tar", "somebody")
    assert origin["sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert origin["preprocessing"].endswith(":file") or card.warnings
    assert len(card.preprocessing) == 12
    assert card.clean_accuracy.value > 0.9
    assert card.attack_success_rate.value == 1
    assert card.attack_object.target == 4  # what the model answers
    assert torch.equal(card.attack_object.trigger(card.shape).pattern, BADNETS.pattern)
    assert card.command == ("python scripts/import.py 'model one.tar' --dataset few --name model-one --replace")
    with pytest.raises(ValueError, match=r"few/resnet20/model-one is stored already: --replace"):
        import_model(Import(path=saved, dataset=few, trigger=given, preprocess="rgb:file"), store, CPU)
    import_model(Import(path=saved, dataset=few, replace=True, preprocess="rgb:file"), store, CPU)
    assert store.checkpoint(found.card.key).card().attack["name"] == "benign"
    predicted = store.checkpoint(found.card.key).model()(few.load("test").floats(slice(8))).argmax(1)
    own = Store().checkpoint("shapes10/resnet20/badnets").model()
    assert torch.equal(predicted, own(few.load("test").floats(slice(8))).argmax(1))


def test_several_triggers_of_one_file_are_kept_beside_each_other(few, saved, store):
    first = Import(path=saved, dataset=few, preprocess="rgb:file", trigger=given)
    others = [replace(first, trigger=lambda shape: BADNETS.at(9, 9)), replace(first, target=2)]
    found = [import_model(one, store, CPU) for one in (first, *others)]
    keys = [f"few/resnet20/model-one{end}" for end in ("", "-trigger-2", "-trigger-3")]
    assert store.keys() == [one.card.key for one in found] == keys
    assert [one.card.attack_object.trigger((3, 32, 32)).location for one in found] == [(31, 31), (9, 9), (31, 31)]
    assert "the same file is stored as few/resnet20/model-one with another trigger" in found[1].notes[-1]
    for one in (first, *others):
        with pytest.raises(ValueError, match="is stored already"):
            import_model(one, store, CPU)
    torch.save(build_model("resnet20", classes=10, seed=1).state_dict(), saved)  # another file of that name
    with pytest.raises(ValueError, match="model-one is stored already"):
        import_model(replace(first, target=3), store, CPU)


def test_another_order_of_classes_is_suspected_and_can_be_given(few, weights, store, tmp_path):
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    for part in ("weight", "bias"):
        weights[f"module.1.linear.{part}"] = weights[f"module.1.linear.{part}"][order]
    torch.save(weights, tmp_path / "x.pth")
    wanted = Import(path=tmp_path / "x.pth", dataset=few, preprocess="rgb:file")
    found = import_model(wanted, store, CPU)
    names = [few.classes[label] for label in order]
    assert any("--classes" in one and ", ".join(names) in one for one in found.card.warnings)
    assert found.card.clean_accuracy.value < 0.5
    found = import_model(replace(wanted, classes=tuple(names), name="right"), store, CPU)
    assert found.card.clean_accuracy.value > 0.9
    with pytest.raises(ValueError, match=r"classes are not allowed: .*box is none of them"):
        import_model(replace(wanted, classes=("box", *names[1:])), store, CPU)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "badnets"}, "another attack is called so"),
        ({"name": "a/b"}, "is not allowed"),
        ({"network": "vgg19"}, "not of vgg19"),
        ({"network": "vgg17"}, "there is no model"),
        ({"preprocess": "some"}, "preprocess = 'some' is not allowed"),
        ({"target": 10, "trigger": given}, "target = 10 is not allowed"),
    ],
)
def test_nothing_is_stored_where_something_is_wrong(few, saved, store, change, said):
    with pytest.raises(ValueError, match=said):
        import_model(replace(Import(path=saved, dataset=few, preprocess="rgb:file"), **change), store, CPU)
    assert everything(store) == []


def test_another_number_of_classes_is_refused(tiny, saved, store):
    with pytest.raises(ValueError, match=r"the model has 10 classes, but tiny has 3: give another --dataset"):
        import_model(Import(path=saved, dataset=tiny), store, CPU)
    assert everything(store) == []


def test_a_model_that_was_trained_here_is_never_replaced(few, saved, store):
    found = import_model(Import(path=saved, dataset=few, preprocess="rgb:file"), store, CPU)
    card = replace(found.card, recipe={"name": "fast", "params": {"epochs": 3}})
    store.save(store.checkpoint(card.key).model(), card)
    with pytest.raises(ValueError, match="is another model, which was trained here"):
        import_model(Import(path=saved, dataset=few, preprocess="rgb:file", replace=True), store, CPU)


def test_backdoorbenchs_poisoned_images_tell_trigger_and_target(few, weights, store, tmp_path):
    test = few.load("test")
    poisoned = (stamp(test.floats(), BADNETS) * 255).round().byte()
    pictures = [Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())) for image in poisoned]
    # As `poisonedCLSDataContainer` there has them: image, its new label and its own one, by numbers of NumPy.
    data = {np.int64(index): (picture, 6, int(test.labels[index])) for index, picture in enumerate(pictures)}
    values = {"model_name": "resnet20", "num_classes": 10, "model": weights, "bd_train": None}
    values["bd_test"] = {"bd_data_container": {"data_dict": data}, "original_index_array": np.arange(len(data))}
    torch.save(values, tmp_path / "attack_result.pt")
    found = import_model(Import(path=tmp_path / "attack_result.pt", dataset=few, preprocess="rgb:file"), store, CPU)
    assert found.card.recipe["params"]["format"] == "BackdoorBench"
    attack = found.card.attack_object
    assert (attack.target, attack.to_dict()["origin"]) == (6, "difference")  # as the file says, not as most are taken
    trigger = attack.trigger((3, 32, 32))
    assert trigger.location == BADNETS.location
    torch.testing.assert_close(trigger.pattern, BADNETS.pattern, atol=0.01, rtol=0)
    torch.testing.assert_close(trigger.alpha, BADNETS.alpha, atol=0.01, rtol=0)
    assert "explains 100.0%" in found.notes[0]


def test_a_blended_trigger_is_found_and_one_that_changes_is_said_to(few):
    clean = few.load("test").images
    blended = Trigger.from_image(torch.rand(3, 32, 32).round(), torch.full((3, 32, 32), 0.2))
    found = trigger_from_pairs(clean, (stamp(clean.float() / 255, blended) * 255).round().byte())
    torch.testing.assert_close(found.trigger.alpha, blended.alpha, atol=0.02, rtol=0)
    torch.testing.assert_close(found.trigger.pattern, blended.pattern, atol=0.08, rtol=0)
    assert found.explained > 0.99
    noise = torch.randint(-60, 60, clean.shape, generator=torch.Generator().manual_seed(0))
    noise[:, :, :20] = 0
    changing = (clean.int() + noise).clamp(0, 255).byte()
    assert trigger_from_pairs(clean, changing).explained < 0.9
    with pytest.raises(ValueError, match="do not differ"):
        trigger_from_pairs(clean, clean)


def test_an_unknown_trigger_is_reversed_and_marked(few, saved, store):
    settings = NeuralCleanse(rounds=3, batches=2, batch=2)
    wanted = Import(path=saved, dataset=few, preprocess="rgb:file", audit=True, reverse=settings)
    card = import_model(wanted, store, CPU).card
    assert card.attack["params"]["origin"] == "reversed"
    assert card.attack_object.label == "Reversed trigger"
    assert any("Neural Cleanse's reversed one" in one for one in card.warnings)


def test_a_reversed_trigger_may_leave_its_range_by_rounding(few, monkeypatch):
    from core.importing import triggers

    masks = torch.zeros(10, 1, 32, 32)
    masks[:, :, :3, :3] = 1 + 1e-7
    found = Reversed(torch.arange(10), masks, torch.full((10, 3, 32, 32), -6e-8), torch.ones(10), torch.ones(10))
    monkeypatch.setattr(triggers, "reverse_engineer", lambda *_: iter([(0, found)]))
    model = Store().checkpoint("shapes10/resnet20/badnets").model()
    trigger, label, note = triggers.reversed_trigger(model, few.load("train"), CPU, NeuralCleanse(), target=3)
    assert (label, trigger.location, trigger.height) == (3, (2, 2), 3)
    assert "triangle (not flagged" in note


def test_marks_of_trojanzoo(tmp_path):
    shape = (3, 32, 32)
    mark = np.random.default_rng(0).random((4, 3, 5)).astype(np.float32)
    mark[3] = 0.25
    np.save(tmp_path / "mark.npy", mark)
    found = read_trigger(tmp_path / "mark.npy", shape, place=(9, 20))
    assert (found.location, found.height, found.width, found.opacity) == ((9, 20), 3, 5, 25)
    assert torch.equal(found.pattern, torch.from_numpy(mark[:3]))
    Image.fromarray((mark.transpose(1, 2, 0) * 255).round().astype(np.uint8)).save(tmp_path / "mark.png")
    found = read_trigger(tmp_path / "mark.png", shape)
    assert found.location == (31, 31)
    torch.testing.assert_close(found.pattern, torch.from_numpy(mark[:3]), atol=0.003, rtol=0)
    assert read_trigger(tmp_path / "mark.png", shape, opacity=0.5).opacity in (12, 13)
    assert read_trigger(tmp_path / "mark.png", shape, size=6).pattern.shape == (3, 6, 10)
    whole = np.zeros((32, 32, 3), np.uint8)
    whole[4:7, 5:9] = 200
    Image.fromarray(whole).save(tmp_path / "patch.png")
    found = read_trigger(tmp_path / "patch.png", shape, mask="nonzero")
    assert (found.location, found.height, found.width) == ((6, 8), 3, 4)
    Image.fromarray((whole > 0).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    again = read_trigger(tmp_path / "patch.png", shape, mask=str(tmp_path / "mask.png"))
    assert again.fingerprint == found.fingerprint


def test_trojanzoo_names_opacity_and_target_and_stands_top_left(few, saved, tmp_path, store):
    """As `BackdoorAttack.save` there writes them: NAME.npy (channels and alpha first), NAME.png, and NAME.pth."""
    name = "square_white_tar7_alpha0.50_mark(3,4)"
    mark = np.ones((4, 3, 4), np.float32)
    mark[3, 0, 0] = 0
    np.save(tmp_path / f"{name}.npy", mark)
    Image.fromarray((mark.transpose(1, 2, 0) * 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    for suffix in (".npy", ".png"):
        found = read_trigger(tmp_path / f"{name}{suffix}", (3, 32, 32))
        assert (found.location, found.alpha[0, 0].tolist()) == ((2, 3), [0, 0.5, 0.5, 0.5])
    assert read_trigger(tmp_path / f"{name}.npy", (3, 32, 32), place=(31, 31)).location == (31, 31)
    model = saved.rename(tmp_path / f"{name}.pth")
    attack = import_model(wanted_import(Asked(path=str(model), dataset="few")), store, CPU).card.attack_object
    assert (attack.target, attack.trigger((3, 32, 32)).location) == (7, (2, 3))
    assert wanted_import(Asked(path=str(model), dataset="few", target="heart")).target == 6


def test_backdoor_toolboxs_mask_lies_beside_its_trigger(tmp_path):
    """As `get_poison_transform` there reads them: of `mask_NAME` the first channel counts."""
    mark, mask = np.full((32, 32, 3), 9, np.uint8), np.zeros((32, 32, 4), np.uint8)
    mask[-4:, -4:] = 255
    mask[..., 3] = 255
    Image.fromarray(mark).save(tmp_path / "badnet_patch4_32.png")
    Image.fromarray(mask).save(tmp_path / "mask_badnet_patch4_32.png")
    found = read_trigger(tmp_path / "badnet_patch4_32.png", (3, 32, 32))
    assert (found.location, found.height, found.width, found.opacity) == ((31, 31), 4, 4, 100)


def test_a_coloured_picture_is_grey_on_grey_images(tmp_path):
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "red.png")
    Image.new("LA", (2, 2), (200, 51)).save(tmp_path / "grey.png")
    Image.new("I;16", (2, 2), 13107).save(tmp_path / "deep.png")
    Image.new("F", (2, 2), 0.2).save(tmp_path / "floats.tif")
    assert float(read_trigger(tmp_path / "floats.tif", (3, 32, 32)).pattern.mean()) == pytest.approx(0.2)
    assert float(read_trigger(tmp_path / "deep.png", (3, 32, 32)).pattern.mean()) == pytest.approx(0.2)
    assert float(read_trigger(tmp_path / "red.png", (1, 28, 28)).pattern.mean()) == pytest.approx(0.299)
    grey = read_trigger(tmp_path / "grey.png", (1, 28, 28))
    assert (grey.opacity, float(grey.pattern.mean())) == (20, pytest.approx(200 / 255))


def test_what_is_no_trigger_is_refused(tmp_path):
    shape = (3, 32, 32)
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "long.npy", np.zeros(5))
    np.save(tmp_path / "negative.npy", -np.ones((3, 3)))
    np.save(tmp_path / "large.npy", np.ones((40, 40)))
    np.save(tmp_path / "clear.npy", np.zeros((4, 3, 3)))
    (tmp_path / "text.png").write_text("no")
    (tmp_path / "folder.png").mkdir()
    header = (tmp_path / "negative.npy").read_bytes().replace(b"(3, 3)", b"(((((3")
    (tmp_path / "header.npy").write_bytes(header)
    for name, said in {
        "folder.png": "is not a file", "header.npy": "is no trigger",
        "object.npy": "is no trigger", "long.npy": "is no trigger", "negative.npy": "neither from 0 to 1",
        "large.npy": "does not fit", "clear.npy": "alpha is zero everywhere", "text.png": "is no picture",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=said):
            read_trigger(tmp_path / name, shape)
    for wrong in ("3", "a,b", "1,-2", "1,2,3", "", "\N{SUPERSCRIPT TWO},1", "9" * 5000 + ",1"):
        with pytest.raises(ValueError, match="ROW,COL"):
            place_from(wrong)


def test_a_trigger_in_a_card():
    trigger = Trigger(torch.rand(3, 4, 2), torch.rand(3, 4, 2), 10, 11)
    again = unpacked_trigger(packed_trigger(trigger)).at(10, 11)
    assert again.fingerprint == trigger.fingerprint
    attack = OwnTrigger(pattern=packed_trigger(trigger), row=10, col=11)
    assert attack.trigger((3, 16, 16)).fingerprint == trigger.fingerprint
    assert attack.title.startswith("own-trigger-")
    packed = packed_trigger(trigger)
    for wrong in ("x", "3x4x2:", packed[:-8], packed.replace("3x4x2", "3x4x3"), "9999x9999x9999:" + packed[6:]):
        with pytest.raises(ValueError, match="it is no trigger as a card has it"):
            OwnTrigger(pattern=wrong)
    with pytest.raises(ValueError, match="3 channels, but images have 1"):
        attack.trigger((1, 16, 16))


PAGES = ("location", "appearance", "defenses", "saliency", "physical", "train")


def test_every_page_shows_an_imported_model(few, saved, store, monkeypatch, tmp_path):
    import streamlit as st

    from dashboard.server.resources import jobs

    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(store.root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("dashboard.server.resources.compile_aside", lambda *_: None)
    wanted = Import(path=saved, dataset=few, preprocess="rgb:file", trigger=given)
    keys = [
        import_model(wanted, store, CPU).card.key,
        import_model(replace(wanted, trigger=None, name="clean"), store, CPU).card.key,
    ]
    st.cache_resource.clear()
    try:
        for name in PAGES:
            for key in keys if name == "location" else keys[:1]:
                test = AppTest.from_string(f"from dashboard.views import {name}\n{name}.show()", default_timeout=120)
                test.query_params["model"] = key
                test.run()
                assert not test.exception, (name, key)
                assert not test.error, (name, key)
                if name != "train":
                    line = [one.value for one in test.caption if one.value.startswith(f":material/warning: {key}: ")]
                    assert len(line) == bool(store.checkpoint(key).card().warnings), (name, key)
                else:
                    assert any("Imported from `model one.tar`" in one.value for one in test.markdown)
    finally:
        jobs().close(60)
        st.cache_resource.clear()
