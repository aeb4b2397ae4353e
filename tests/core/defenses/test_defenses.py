"""What every registered repair keeps, and what each finds on problems whose answer is known."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load, save
from squares import coloured_squares
from torch import nn

from core.data import ImageSet
from core.defenses import Material, defense_from_dict, defenses, neural_cleanse, split_test
from core.defenses.auto_encoder import AutoEncoder, Purifier
from core.defenses.fine_pruning import (
    FinePruning,
    at_tolerances,
    channels_within,
    features_of,
    order_of,
    pruned_predictions,
)
from core.defenses.neural_cleanse import (
    NeuralCleanse,
    Reversed,
    anomaly_indices,
    flagged_labels,
    misses_allowed,
    reverse_engineer,
)
from core.inference.predictor import Predictor
from core.metrics import attack_success_rate, clean_accuracy
from core.models import build_model, models
from core.params import params_of
from core.trigger import Trigger, stamp

CPU = torch.device("cpu")
QUICK = {
    "fine-pruning": {"epochs": 1},
    "neural-cleanse": {"rounds": 2, "batches": 1, "batch": 4},
    "auto-encoder": {"epochs": 1},
}
every_repair = pytest.mark.parametrize("name", defenses.names())


@pytest.fixture(autouse=True)
def _cache_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def outcome_of(progress):
    """Runs a repair to its end."""
    *_, last = progress
    return last.outcome


def image_set(count, seed=0, side=16):
    images, labels = coloured_squares(count, seed, side=side)
    return ImageSet(images, labels, ("red", "green", "blue"), "tiny")


def material(train=24, validation=24):
    return Material(image_set(train, 0), image_set(validation, 1))


def untrained(name="resnet20", seed=0):
    return build_model(name, classes=3, channels=3, seed=seed).eval()


@every_repair
def test_a_repair_makes_another_model_from_what_it_found(name):
    """From its state alone, also when that was stored meanwhile; the model itself stays what it was."""
    model, repair = untrained(), defenses[name](**QUICK.get(name, {}))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    steps = list(repair.run(model, material(), CPU))
    done = [step.done for step in steps]
    assert all(0 <= first <= second <= 1 for first, second in pairwise(done))
    assert done[-1] == 1
    assert [step.outcome is not None for step in steps] == [False] * (len(steps) - 1) + [True]
    outcome = steps[-1].outcome
    assert json.loads(json.dumps(outcome.record)) == outcome.record
    state = load(save({key: tensor.contiguous() for key, tensor in outcome.state.items()}))
    built = [repair.build(model, found) for found in (outcome.state, state)]
    images = material().validation.floats()
    answers = [Predictor(made, dtype=torch.float32).logits(images) for made in built]
    assert answers[0].shape == (24, 3)
    torch.testing.assert_close(answers[0], answers[1])
    assert not any(made.training for made in built)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert not model.training
    assert not any(module._forward_hooks for module in model.modules())


@every_repair
def test_equal_seeds_give_equal_repairs(name, monkeypatch, tmp_path):
    repair, found = defenses[name](**QUICK.get(name, {})), []
    for number in range(2):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / str(number)))
        found.append(outcome_of(repair.run(untrained(), material(), CPU, seed=3)).state)
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(tensor, found[1][key]) for key, tensor in found[0].items())


@every_repair
def test_every_repair_declares_what_it_is(name):
    repair = defenses[name]()
    assert repair.label
    assert defense_from_dict({"name": name, "params": repair.to_dict()}) == repair
    assert all(param.help for param in params_of(defenses[name]).values())


@every_repair
def test_a_repair_without_data_is_refused(name):
    with pytest.raises(ValueError, match="need"):
        outcome_of(defenses[name]().run(untrained(), material(0, 0), CPU))


@every_repair
def test_what_another_model_was_given_does_not_fit(name):
    repair = defenses[name](**QUICK.get(name, {}))
    wrong = {"model.conv1.weight": torch.zeros(1), "layers.0.weight": torch.zeros(1), "pruned": torch.tensor([999])}
    with pytest.raises(ValueError, match="does not fit the model"):
        repair.build(untrained(), wrong)


@pytest.mark.parametrize("values", [{}, {"name": "fine-pruning"}, None, {"name": "fine-pruning", "params": 3}])
def test_a_damaged_description_is_refused(values):
    with pytest.raises(ValueError, match="damaged"):
        defense_from_dict(values)


def test_the_halves_of_the_test_set_are_apart_and_always_the_same():
    data = image_set(31)
    data = ImageSet(
        torch.arange(31, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2), data.labels, data.classes, "x"
    )
    first, second = split_test(data)
    assert (len(first), len(second)) == (15, 16)
    numbers = [int(image[0, 0, 0]) for part in (first, second) for image in part.images]
    assert sorted(numbers) == list(range(31))
    assert numbers != list(range(31))
    again = split_test(data)
    assert torch.equal(again[0].images, first.images)


# Fine-Pruning


# In the MNIST CNN a linear layer, not the last convolution, comes before the last one: what is pruned are its outputs.
@pytest.mark.parametrize("name", [name for name in models.names() if name != "mnist-cnn"])
def test_pruning_a_column_is_pruning_the_last_components_channel(name):
    """At every fraction, against a hook that sets the channels of that component to zero."""
    model, images = untrained(name), image_set(6, 3, side=32).floats()
    features = features_of(model, images)
    order = order_of(features)
    found = pruned_predictions(features, model.head, order)
    assert found.shape == (len(order) + 1, 6)
    # VGG's last component is the convolution; batch norm and ReLU after it belong to the channel too.
    place = model.features[51] if name == "vgg19" else model.last_block
    for count in (0, 1, len(order) // 2, len(order)):

        def cut(module, inputs, output, count=count):
            output = output.clone()
            output[:, order[:count]] = 0
            return output

        handle = place.register_forward_hook(cut)
        with torch.inference_mode():
            expected = model(images)
        handle.remove()
        answers = expected.gather(1, found[count][:, None]).squeeze(1)
        # bfloat16 may exchange two answers that are as good as equal.
        assert bool((expected.amax(1) - answers <= 0.05 * expected.abs().amax()).all())


def test_channels_that_sleep_on_clean_images_go_first():
    features = torch.tensor([[0.5, 0.0, 2.0], [0.7, 0.2, 1.0]])
    assert order_of(features).tolist() == [1, 0, 2]


class Known(nn.Module):
    """Three features per image, its mean colours, and a fourth that only a corner of pure blue wakes."""

    head_name = "fc"
    channels = 3
    folds = True
    head = property(lambda self: self.fc)

    def __init__(self):
        super().__init__()
        self.normalise = nn.Identity()
        self.fc = nn.Linear(4, 3)
        self.fc.bias.data.zero_()
        self.fc.weight.data = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]])

    def forward(self, images):
        red, green, blue = images[:, :, -2:, -2:].mean((2, 3)).unbind(1)
        awake = nn.functional.softplus(20 * (blue - (red + green) / 2 - 0.8)) * 1.25
        return self.fc(torch.cat([images.mean((2, 3)), awake[:, None]], 1))


def blue_corner():
    return Trigger(torch.tensor([0.0, 0, 1])[:, None, None].expand(3, 2, 2), torch.ones(3, 2, 2), 15, 15)


def test_fine_pruning_cuts_off_a_backdoor_that_sleeps():
    model, data = Known(), material()
    stamped = stamp(data.validation.floats(), blue_corner())
    assert bool((model(stamped).argmax(1) == 2).all())
    outcome = outcome_of(FinePruning(tolerance=1).run(model, data, CPU))
    assert outcome.record["order"][0] == 3
    assert outcome.record["pruned"] >= 1
    assert outcome.record["validation_hits"][:2] == [24, 24]
    repaired = FinePruning().build(model, outcome.state)
    assert float(repaired.fc.weight[:, 3].detach().abs().max()) == 0
    labels = data.validation.labels
    assert bool((repaired(stamped).argmax(1) == labels).all())
    report = FinePruning().report(model, outcome, data.validation, blue_corner(), 2, CPU)
    assert report["clean_hits"][0] == 24
    others = int((labels != 2).sum())
    assert (report["hits"][0], report["hits"][1], report["total"][0]) == (others, 0, others)


def test_the_fraction_is_the_largest_before_the_accuracy_falls_too_far():
    model, data = Known(), material()
    for tolerance in (0, 40, 100):
        record = outcome_of(FinePruning(tolerance=tolerance).run(model, data, CPU)).record
        rates = [hits / 24 for hits in record["validation_hits"]]
        pruned = record["pruned"]
        assert all(rate >= rates[0] - tolerance / 100 for rate in rates[: pruned + 1])
        assert pruned == 4 or rates[pruned + 1] < rates[0] - tolerance / 100


def test_at_every_tolerance_the_result_is_what_a_run_with_it_finds():
    model, data = Known(), material()
    outcome = outcome_of(FinePruning().run(model, data, CPU))
    report = FinePruning().report(model, outcome, data.validation, blue_corner(), 2, CPU)
    found = at_tolerances(outcome.record, report, (0, 10, 40))  # with all channels gone every answer is a tie
    for one in found:
        alone = outcome_of(FinePruning(tolerance=one.tolerance).run(model, data, CPU))
        assert one.channels == alone.record["pruned"]
        repaired = FinePruning().build(model, alone.state)
        images, labels = data.validation.floats(), data.validation.labels
        assert one.clean == clean_accuracy(repaired(images).argmax(1), labels)
        assert one.success == attack_success_rate(repaired(stamp(images, blue_corner())).argmax(1), labels, 2)
    assert [one.channels for one in found] == sorted(one.channels for one in found)
    with pytest.raises(ValueError, match="damaged"):
        at_tolerances(outcome.record, {})


def test_the_accuracy_may_fall_by_the_tolerance_and_no_further():
    assert channels_within([90, 85, 80, 90], 100, 5) == 1
    assert channels_within([90, 85, 80, 90], 100, 10) == 3
    assert channels_within([90, 85, 80, 90], 100, 0) == 0


def test_what_was_pruned_stays_pruned_in_fine_tuning():
    model, repair = untrained(), FinePruning(tolerance=100, epochs=1, rate=0.1)
    data = material()
    state = outcome_of(repair.run(model, data, CPU)).state
    repaired = repair.build(model, {**state, "pruned": state["pruned"][:0]})
    assert float(repaired.fc.weight[:, state["pruned"]].detach().abs().max()) == 0
    assert not torch.equal(repaired.bn1.running_mean, model.bn1.running_mean)


# Neural Cleanse


def test_the_anomaly_index_is_the_distance_from_the_median_in_deviations():
    """By hand: median 10, distances 9, 1, 0, 1, 0, their median 1."""
    assert anomaly_indices([1, 9, 10, 11, 10]) == pytest.approx([9 / 1.4826, 1 / 1.4826, 0, 1 / 1.4826, 0], abs=1e-4)
    assert anomaly_indices([5, 5, 5]) == [0, 0, 0]


def test_among_equal_masks_any_smaller_one_is_infinitely_far_away_and_flagged():
    """A median absolute deviation of 0 must not make the backdoor's label the most ordinary of all."""
    assert anomaly_indices([5, 5, 0.1, 5, 9]) == [0, 0, math.inf, 0, math.inf]
    assert flagged_labels([5, 5, 0.1, 5, 9]) == [2]


def test_an_infinite_index_is_stored_as_json_that_every_reader_takes(monkeypatch):
    norms = torch.tensor([5.0, 5, 0.1])
    found = Reversed(torch.arange(3), norms[:, None, None, None], torch.zeros(3, 3, 1, 1), torch.ones(3), torch.ones(3))
    monkeypatch.setattr(neural_cleanse, "reverse_engineer", lambda *_: iter([(0, found)]))
    monkeypatch.setattr(NeuralCleanse, "_unlearned", lambda self, model, *_: model)
    record = outcome_of(NeuralCleanse().run(untrained(), material(), CPU)).record
    assert json.loads(json.dumps(record, allow_nan=False))["indices"] == [0, 0, "Infinity"]
    assert float(record["indices"][2]) == math.inf
    assert record["flagged"] == [2]


@pytest.mark.parametrize(("samples", "allowed"), [(992, 9), (96, 1), (100, 1), (8, 1), (200, 2), (1000, 10)])
def test_a_round_of_few_samples_asks_for_no_more_than_the_published_one(samples, allowed):
    """99% of 96 samples are 95.04, so that every one of them had to be fooled; the published 992 let nine escape."""
    assert misses_allowed(0.99, samples) == allowed
    assert misses_allowed(1, samples) == 0
    if samples >= 100:
        assert (samples - allowed) / samples >= 0.99 > (samples - allowed - 1) / samples


@pytest.mark.parametrize(("hits", "success"), [(96, True), (95, True), (94, False)])
def test_a_trigger_that_one_sample_escapes_has_succeeded(hits, success):
    state = neural_cleanse._Label((3, 4, 4), NeuralCleanse(), torch.Generator().manual_seed(0))
    state.close_round(hits, norm=3.0)
    assert (state.best_trigger is not None) is success


def test_the_reversed_trigger_of_a_backdoor_is_small_and_where_the_trigger_is():
    """Label 2 answers to four blue pixels in the corner; the others need much of the image."""
    settings = NeuralCleanse(rounds=60, batches=4, batch=12, patience=2)
    images = image_set(48, 1).floats()
    *_, (moving, found) = reverse_engineer(Known(), images, range(3), settings)
    assert found.masks.shape == (3, 1, 16, 16)
    assert found.patterns.shape == (3, 3, 16, 16)
    assert bool(((found.masks >= 0) & (found.masks <= 1)).all())
    assert found.norms[2] < 10 < min(found.norms[:2]) / 3
    inside = found.masks[2, 0, -2:, -2:].sum() / found.masks[2].sum()
    assert float(inside) > 0.5
    assert float(found.success[2]) >= 47 / 48
    assert moving <= 3


def test_labels_together_find_what_each_finds_alone():
    """The batch is shared and the variables are apart: nothing of another label's search is in a label's."""
    settings, images = NeuralCleanse(rounds=6, batches=2, batch=8), image_set(24, 1).floats()
    *_, (_, together) = reverse_engineer(Known(), images, range(3), settings)
    for label in range(3):
        *_, (_, alone) = reverse_engineer(Known(), images, [label], settings)
        torch.testing.assert_close(alone.masks[0], together.masks[label], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(alone.patterns[0], together.patterns[label], rtol=1e-3, atol=1e-4)


def test_labels_take_turns_where_their_images_are_too_many_pixels(monkeypatch):
    settings, images = NeuralCleanse(rounds=3, batches=2, batch=8), image_set(24, 1)
    *_, (_, together) = reverse_engineer(Known(), images.floats(), range(3), settings)
    seen = []

    class Counting(Known):
        def forward(self, images):
            seen.append(len(images))
            return super().forward(images)

    monkeypatch.setattr(neural_cleanse, "MOST_PIXELS", 2 * 8 * 16 * 16)
    *_, (_, apart) = reverse_engineer(Counting(), images.images, range(3), settings)
    assert set(seen) == {16, 8}
    torch.testing.assert_close(apart.masks, together.masks, rtol=1e-3, atol=1e-4)
    assert torch.equal(apart.rounds, together.rounds)


def test_one_label_after_the_other_finds_the_same():
    """The published way and the batched one are the same optimisation: the record differs by rounding."""
    together, apart = (
        outcome_of(NeuralCleanse(rounds=4, batches=2, batch=8, together=flag).run(Known(), material(), CPU)).record
        for flag in (True, False)
    )
    assert together["norms"] == pytest.approx(apart["norms"], rel=1e-2)
    assert (together["flagged"], together["rounds"]) == (apart["flagged"], apart["rounds"])


class Backdoored(Known):
    """As :class:`Known` with three mixed colours as further labels, so that there is something to stand out from."""

    def __init__(self):
        super().__init__()
        mixed = torch.tensor([[0.5, 0.5, 0, 0], [0, 0.6, 0.6, 0], [0.7, 0, 0.7, 0]])
        weight = torch.cat([self.fc.weight.data, mixed])
        self.fc = nn.Linear(4, 6)
        self.fc.bias.data.zero_()
        self.fc.weight.data = weight


@pytest.mark.parametrize("patch", ["pruning", "unlearning"])
def test_the_backdoor_is_flagged_and_removed(patch):
    def data(count, seed):
        images, labels = coloured_squares(count, seed, side=16)
        return ImageSet(images, labels, tuple("abcdef"), "tiny")

    model, validation = Backdoored(), data(60, 1)
    repair = NeuralCleanse(rounds=60, batches=4, batch=12, patience=2, patch=patch, unlearn_rate=0.5)
    outcome = outcome_of(repair.run(model, Material(data(20000, 0), validation), CPU))
    assert outcome.record["flagged"] == [2]
    assert outcome.record["indices"][2] > 2
    others = validation.labels != 2
    stamped = stamp(validation.floats(), blue_corner())[others]
    assert float((model(stamped).argmax(1) == 2).float().mean()) == 1
    repaired = repair.build(model, outcome.state)
    assert float((repaired(stamped).argmax(1) == 2).float().mean()) < 0.2
    right = (repaired(validation.floats()).argmax(1) == validation.labels).float().mean()
    assert float(right) > 0.9


# Auto-Encoder


@pytest.mark.parametrize("size", [(3, 32, 32), (1, 28, 28), (3, 30, 33)])
def test_a_purifier_keeps_shape_and_range(size):
    images = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    drawn = Purifier(size[0])(images)
    assert drawn.shape == images.shape
    assert bool(((drawn >= 0) & (drawn <= 1)).all())


def test_an_auto_encoder_reports_many_times_an_epoch_so_that_others_get_their_turn():
    steps = list(AutoEncoder(epochs=2, batch=2).run(untrained(), material(train=48), CPU))
    assert [step.done for step in steps] == pytest.approx([10 / 48, 20 / 48, 0.5, 34 / 48, 44 / 48, 1, 1])


def test_an_auto_encoder_learns_to_redraw_and_is_trained_once(monkeypatch):
    data = Material(image_set(256, 0), image_set(24, 1))
    repair, clean = AutoEncoder(epochs=30, batch=32, rate=0.01), data.validation.floats()
    first = outcome_of(repair.run(untrained(), data, CPU))
    purifier = repair.build(untrained(), first.state).normalise.purifier
    spread = float((clean - clean.mean((0, 2, 3), keepdim=True)).square().mean())
    with torch.inference_mode():
        assert float((purifier(clean) - clean).square().mean()) < 0.2 * spread
    assert first.record["cached"] is False
    again = outcome_of(repair.run(untrained(seed=1), data, CPU))
    assert again.record == {"seconds": pytest.approx(first.record["seconds"], abs=0.06), "cached": True}
    assert all(torch.equal(tensor, first.state[key]) for key, tensor in again.state.items())
    assert again.state.keys() == first.state.keys()
    other = outcome_of(AutoEncoder(epochs=1).run(untrained(), data, CPU))
    assert other.record["cached"] is False


def test_the_model_sees_what_was_redrawn():
    model = untrained()
    state = outcome_of(AutoEncoder(epochs=1).run(model, material(), CPU)).state
    repaired = AutoEncoder().build(model, state)
    images = image_set(4, 2).floats()
    with torch.inference_mode():
        expected = model(repaired.normalise.purifier(images))
        torch.testing.assert_close(repaired(images), expected)
        found = Predictor(repaired, dtype=torch.float32).logits(images)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
