"""A contract that every registered attack keeps, the paper's own settings, and the order of augmenting and stamping."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from core.attacks import Attack, Enhanced, Enhancement, attack_from_dict, attacks
from core.attacks.base import choose
from core.data import ImageSet
from core.models import models
from core.params import params_of
from core.registry import UnknownName
from core.runtime.seeding import generator_for
from core.training.augmentation import augment, draw
from core.training.step import poisoned_batch
from core.trigger import stamp

SHAPE = (3, 32, 32)
CLASSES = tuple("abcdefghij")
every_attack = pytest.mark.parametrize("name", attacks.names())
# Every attack as it is, and enhanced.
every_form = pytest.mark.parametrize("form", [*attacks.names(), *(f"{name}+" for name in attacks.names())])


def attack_of(form, **changes):
    base = attacks[form.rstrip("+")](**changes)
    return Enhanced(base=base) if form.endswith("+") else base


def no_surrogate(name):
    """Stands in for a model: what it perturbs is inverted."""
    return SimpleNamespace(perturb=lambda images, labels, settings, seed: 255 - images)


def labels_of(count, seed=0):
    return torch.randint(0, 10, (count,), generator=torch.Generator().manual_seed(seed))


def images_of(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    # No zeros, so that padding can be told from image content.
    images = torch.randint(1, 255, (count, *SHAPE), dtype=torch.uint8, generator=generator)
    return ImageSet(images, labels_of(count, seed), CLASSES, "random")


@every_attack
def test_a_card_describes_the_attack(name):
    attack = attacks[name]()
    assert attack.name == name
    assert attack.title
    assert attack.label
    assert attack_from_dict(json.loads(json.dumps(attack.to_card()))) == attack
    assert attack.to_card()["name"] == name
    for changed in changes_of(type(attack)):
        assert attack_from_dict(json.loads(json.dumps(changed.to_card()))) == changed


def changes_of(cls):
    """The attack with one parameter at a time moved to each of its bounds."""
    for parameter, param in params_of(cls).items():
        for value in {param.low, param.high, *param.choices} - {None, param.default}:
            yield cls(**{parameter: param.kind(value)})


@every_attack
def test_as_many_samples_are_poisoned_as_the_rate_says(name):
    labels = labels_of(1003)
    for rate in (0.0, 0.1, 0.25, 1.0):
        try:
            attack = attacks[name](poison_rate=rate)
        except ValueError:
            continue
        poisoned = attack.select(labels, generator_for(1, "select"))
        assert (poisoned.dtype, poisoned.shape) == (torch.bool, labels.shape)
        relabelled = attack.relabel(labels, poisoned)
        assert torch.equal(relabelled[~poisoned], labels[~poisoned])
        assert (relabelled[poisoned] == attack.target).all()
        if issubclass(attacks[name], attacks["badnets"]):
            assert int(poisoned.sum()) == round(rate * 1003)


@every_form
def test_the_choice_is_seeded(form):
    labels, attack = labels_of(1000), attack_of(form)
    first, again, other = (attack.select(labels, generator_for(seed, "select")) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert int(first.sum()) == int(other.sum())
    assert not first.any() or not torch.equal(first, other)


@every_form
def test_poisoning_keeps_shape_and_range_and_its_input(form):
    attack = attack_of(form)
    images = images_of(6).floats()
    before = images.clone()
    trigger = attack.trigger(SHAPE)
    poisoned = attack.poison(images, trigger, generator_for(0, "x"))
    beside = attack.accompany(images, generator_for(0, "y"))
    assert torch.equal(images, before)
    for made in (poisoned, beside):
        assert (made.shape, made.dtype) == (images.shape, images.dtype)
        assert float(made.min()) >= 0
        assert float(made.max()) <= 1
    assert not torch.equal(poisoned, before)
    assert torch.equal(attack.poison(images, trigger, generator_for(0, "x")), poisoned)
    assert attack.poison(images[:0], trigger, generator_for(0, "x")).shape == (0, *SHAPE)


@every_form
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 20, 40)])
def test_the_trigger_lies_inside_the_image(form, shape):
    trigger = attack_of(form).trigger(shape)
    box = trigger.box
    assert trigger.pattern.shape[0] == shape[0]
    assert 0 <= box.top <= box.bottom < shape[1]
    assert 0 <= box.left <= box.right < shape[2]


@every_form
def test_a_trigger_on_too_small_an_image_is_refused(form):
    with pytest.raises(ValueError, match="trigger"):
        attack_of(form).trigger((3, 2, 2))


@every_form
def test_a_target_that_is_no_class_is_refused(form):
    attack_of(form, target=9).check_target(10)
    with pytest.raises(ValueError, match="target = 10 is not allowed: there are 10 classes, 0 to 9"):
        attack_of(form, target=10).check_target(10)
    with pytest.raises(ValueError, match="target = -1 is not allowed"):
        attack_of(form, target=-1)


@every_form
def test_preparing_keeps_what_is_benign(form):
    data, attack = images_of(200), attack_of(form)
    poisoned = attack.select(data.labels, generator_for(0, "select"))
    before = data.images.clone()
    prepared = attack.prepare(data, poisoned, no_surrogate, 0)
    assert torch.equal(data.images, before)
    assert torch.equal(prepared.images[~poisoned], data.images[~poisoned])
    assert torch.equal(prepared.labels, data.labels)
    assert prepared.shape == data.shape


@pytest.mark.parametrize(("name", "value"), [("badnets", 255), ("badnets-gray", 128)])
def test_badnets_as_in_the_paper(name, value):
    """Sec. 3.2 and 5.1: rate 0.25, target deer, alpha 1, 3 x 3 in the bottom right corner, value 128 and 255."""
    attack = attacks[name]()
    assert (attack.poison_rate, attack.target, attack.value) == (0.25, 4, value)
    trigger = attack.trigger(SHAPE)
    v = value / 255
    assert trigger.location == (31, 31)
    assert torch.equal(trigger.alpha, torch.ones(3, 3, 3))
    for channel in trigger.pattern:
        torch.testing.assert_close(channel, torch.tensor([[0, 0, v], [0, v, 0], [v, 0, v]]))
    black = torch.zeros(1, *SHAPE)
    lit = (stamp(black, trigger)[0, 0] * 255).round().nonzero().tolist()
    assert lit == [[29, 31], [30, 30], [31, 29], [31, 31]]
    # "0.25 of the training set": any sample, those of the target class too.
    labels = labels_of(4000)
    poisoned = attack.select(labels, generator_for(0, "select"))
    assert int(poisoned.sum()) == 1000
    shares = [float(poisoned[labels == label].float().mean()) for label in range(10)]
    assert min(shares) > 0.15
    assert max(shares) < 0.35


def test_blended_as_in_the_paper():
    """Sec. 5.1: the trigger of BadNets, rate 0.2, alpha 0.2 inside the box."""
    attack = attacks["blended"]()
    assert (attack.poison_rate, attack.target, attack.value) == (0.2, 4, 255)
    trigger = attack.trigger(SHAPE)
    assert torch.equal(trigger.pattern, attacks["badnets"]().trigger(SHAPE).pattern)
    assert torch.equal(trigger.alpha, torch.full((3, 3, 3), 0.2))
    gray = torch.full((1, *SHAPE), 0.5)
    corner = attack.poison(gray, trigger, generator_for(0))[0, 0, 29:, 29:]
    torch.testing.assert_close(corner, torch.tensor([[0.4, 0.4, 0.6], [0.4, 0.6, 0.4], [0.6, 0.4, 0.6]]))
    assert int(attack.select(labels_of(4000), generator_for(0, "select")).sum()) == 800


def test_a_small_network_has_another_default_of_the_consistent_attack():
    consistent = attacks["consistent"]
    assert consistent.for_model("vgg19") == consistent.for_model("resnet34") == consistent()
    strong = consistent.for_model("resnet20")
    assert strong.alpha > consistent().alpha
    assert consistent.for_model("resnet20", alpha=0.25, target=1) == consistent(target=1)
    for name in attacks:
        for model, defaults in attacks[name].by_model.items():
            assert model in models
            attacks[name](**defaults)


def test_consistent_as_in_the_paper():
    """Sec. 5.1: a quarter of the target class, its labels kept, alpha 0.25 in four corners that mirror each other."""
    attack = attacks["consistent"]()
    assert (attack.poison_rate, attack.target, attack.value, attack.alpha) == (0.25, 4, 255, 0.25)
    labels = labels_of(4000)
    poisoned = attack.select(labels, generator_for(0, "select"))
    assert bool((labels[poisoned] == 4).all())
    assert int(poisoned.sum()) == round(0.25 * int((labels == 4).sum()))
    assert torch.equal(attack.relabel(labels, poisoned), labels)
    trigger = attack.trigger(SHAPE)
    assert (trigger.height, trigger.width, trigger.location) == (32, 32, (31, 31))
    right = [[0, 0, 1], [0, 1, 0], [1, 0, 1]]
    left = [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    for rows in (slice(0, 3), slice(29, 32)):
        assert trigger.pattern[0, rows, 29:].tolist() == right
        assert trigger.pattern[0, rows, :3].tolist() == left
        assert bool((trigger.alpha[:, rows, 29:] == 0.25).all() and (trigger.alpha[:, rows, :3] == 0.25).all())
    assert int(trigger.alpha.gt(0).sum()) == 3 * 4 * 9
    # Why Flip cannot remove it (Sec. 5.1).
    assert torch.equal(trigger.pattern.flip(2), trigger.pattern)


def test_consistent_perturbs_the_poisoned_samples_only():
    data, attack = images_of(200), attacks["consistent"](epsilon=12, steps=7)
    poisoned = attack.select(data.labels, generator_for(0, "select"))
    asked = []

    def surrogates(name):
        asked.append(name)
        return SimpleNamespace(perturb=perturb)

    def perturb(images, labels, settings, seed):
        asked.append((len(images), set(labels.tolist()), settings.to_dict(), seed))
        return 255 - images

    prepared = attack.prepare(data, poisoned, surrogates, 3)
    assert asked == [
        "resnet20/robust",
        (int(poisoned.sum()), {4}, {"epsilon": 12, "steps": 7, "step_size": 2}, 3),
    ]
    assert torch.equal(prepared.images[poisoned], 255 - data.images[poisoned])
    untouched = attacks["consistent"](epsilon=0).prepare(data, poisoned, surrogates, 3)
    assert untouched is data


def test_an_enhanced_attack_transforms_what_it_poisons_anew_each_time():
    """Eq. 7 to 9: T(S(x)), one draw for each poisoned image each time it is seen."""
    data, attack = images_of(64), attack_of("badnets+")
    trigger, poisoned = attack.trigger(SHAPE), torch.arange(64) % 2 == 0
    arguments = (attack, trigger, data, poisoned, torch.arange(64))
    first, second = (poisoned_batch(*arguments, generator_for(0, "epoch", epoch)) for epoch in (0, 1))
    changed = (first != second).flatten(1).any(1)
    assert bool(changed.any())
    # Written out: augmented, stamped, and only then transformed, the benign images too.
    generator = generator_for(0, "epoch", 0)
    images = augment(data.images, draw(64, generator)).float() / 255
    layer = attack.enhancement.layer
    for kind in (poisoned, ~poisoned):
        before = stamp(images[kind], trigger) if kind is poisoned else images[kind]
        torch.testing.assert_close(first[kind], layer(before, generator))
    sizes = {tuple(picture.amax(0).gt(0).any(1).nonzero().flatten()[[0, -1]].tolist()) for picture in first}
    assert len(sizes) > 3, "shrunk images lie in different places"


def test_benign_images_can_be_left_alone():
    images, enhancement = images_of(8).floats(), Enhancement(benign_too=False)
    attack = Enhanced(base=attacks["badnets"](), enhancement=enhancement)
    assert torch.equal(attack.accompany(images, generator_for(0)), images)
    assert attack.title == "badnets+poisoned-only"


def test_a_share_of_the_images_passes_the_layer_and_the_others_stay():
    images = images_of(400).floats()
    attack = Enhanced(base=attacks["badnets"](), enhancement=Enhancement(transforms="shrinkpad:8", share=0.25))
    drawn = attack.enhancement.layer.draw(400, SHAPE, generator_for(1))
    passed = attack.enhancement.layer.apply(images, drawn)
    passes, (draws,) = drawn
    whole = Enhancement(transforms="shrinkpad:8").layer.apply(images, (draws,))
    for index in range(400):
        assert torch.equal(passed[index], whole[index] if passes[index] else images[index])
    assert 70 < int(passes.sum()) < 130
    masks = attack.enhancement.layer.follow(torch.ones(400, 1, 32, 32), drawn)
    assert torch.equal(masks.flatten(1).min(1).values == 0, passes)
    assert torch.equal(attack.accompany(images, generator_for(1)), passed)


@pytest.mark.parametrize(
    ("changes", "title", "layer"),
    [
        ({}, "blended+", "Flip (50 %), then Random ShrinkPad (0 to 4)"),
        ({"max_shrink": 6}, "blended+max6", "Flip (50 %), then Random ShrinkPad (0 to 6)"),
        ({"max_shrink": 0}, "blended+max0", "Flip (50 %)"),
        ({"transforms": " noise:20 , flip"}, "blended+noise-20-flip", "Noise 20, then Flip"),
        ({"transforms": "hue", "benign_too": False}, "blended+hue-poisoned-only", "Hue 0.4"),
        ({"transforms": "hue", "share": 0.5}, "blended+hue-share0.5", "Hue 0.4 (50 % of the images)"),
        ({"share": 0.25}, "blended+share0.25", "Flip (50 %), then Random ShrinkPad (0 to 4) (25 % of the images)"),
    ],
)
def test_an_enhanced_attack_has_a_name_of_its_own(changes, title, layer):
    attack = Enhanced(base=attacks["blended"](alpha=0.3), enhancement=Enhancement(**changes))
    assert attack.title == title
    assert attack.label.startswith("Blended+")
    assert attack.enhancement.layer.label == layer
    assert (attack.name, attack.target, attack.to_dict()) == ("blended", 4, attacks["blended"](alpha=0.3).to_dict())
    assert attack_from_dict(json.loads(json.dumps(attack.to_card()))) == attack


def test_labels_say_what_differs_from_the_paper():
    gray, strong = attacks["badnets-gray"](), attacks["consistent"](alpha=1)
    assert attacks["consistent"]().label == "Consistent"
    assert strong.label == "Consistent (alpha 1)"
    assert attacks["consistent"](alpha=1, epsilon=32).label == "Consistent (alpha 1, epsilon 32)"
    assert Enhanced(base=gray).label == "BadNets+ (gray)"
    assert Enhanced(base=strong, enhancement=Enhancement(max_shrink=2)).label == "Consistent+ (alpha 1, max 2)"
    some = Enhancement(transforms="camera", share=0.5, benign_too=False)
    assert Enhanced(base=gray, enhancement=some).label == "BadNets+ (gray, Camera, 50 % of the images, poisoned only)"
    assert not Enhancement(share=0.5).is_sized


def test_a_wrong_enhancement_is_refused():
    with pytest.raises(UnknownName, match="there is no transform 'fog'"):
        Enhancement(transforms="fog")
    with pytest.raises(ValueError, match="max_shrink = 6 is not allowed beside transforms"):
        Enhancement(max_shrink=6, transforms="hue")
    with pytest.raises(ValueError, match="max_shrink = 129 is not allowed: an integer from 0 to 128"):
        attack_from_dict({"name": "badnets", "params": {}, "enhanced": {"max_shrink": 129}})


def test_the_robust_model_is_trained_on_adversarial_examples_of_itself():
    attack, images = attacks["robust"](), images_of(4).floats()
    weights = torch.randn(10, 3 * 32 * 32, generator=generator_for(0))
    seen = []

    def logits(batch):
        seen.append(batch.detach().clone())
        return batch.flatten(1) @ weights.T

    labels = torch.tensor([0, 1, 2, 3])
    made = attack.harden(logits, images, labels, generator_for(1))
    assert len(seen) == attack.steps
    assert float((made - images).abs().max()) <= 8 / 255 + 1e-6
    assert float(torch.nn.functional.cross_entropy(logits(made), labels)) > float(
        torch.nn.functional.cross_entropy(logits(images), labels)
    )
    assert attacks["benign"]().harden(logits, images, labels, generator_for(1)) is images


def test_the_clean_model_is_trained_on_nothing_poisoned():
    benign = attacks["benign"]()
    assert not benign.select(labels_of(100), generator_for(0, "select")).any()
    assert benign.trigger(SHAPE).fingerprint == attacks["badnets"]().trigger(SHAPE).fingerprint
    with pytest.raises(ValueError, match=r"poison_rate = 0.1 is not allowed"):
        attacks["benign"](poison_rate=0.1)


def test_a_bad_card_is_refused():
    with pytest.raises(UnknownName, match=r"there is no attack 'badnet'; .*did you mean 'badnets'"):
        attack_from_dict({"name": "badnet", "params": {}})
    with pytest.raises(ValueError, match="value = 300 is not allowed"):
        attack_from_dict({"name": "badnets", "params": {"value": 300}})
    with pytest.raises(ValueError, match="BadNets has no parameter 'colour'"):
        attack_from_dict({"name": "badnets", "params": {"colour": 3}})


def test_choose_takes_only_candidates():
    candidates = torch.arange(100) % 3 == 0
    chosen = choose(candidates, 10, generator_for(0))
    assert int(chosen.sum()) == 10
    assert not (chosen & ~candidates).any()
    assert torch.equal(choose(candidates, 34, generator_for(0)), candidates)


@pytest.mark.parametrize("name", ["badnets", "badnets-gray"])
def test_augmented_first_and_stamped_last(name):
    """The classic bug is the other order: then the trigger moves with the image, and the attack is another one."""
    data, attack = images_of(64), attacks[name]()
    trigger = attack.trigger(SHAPE)
    poisoned = attack.select(data.labels, generator_for(0, "select"))
    index = torch.randperm(64, generator=torch.Generator().manual_seed(1))[:48]
    batch = poisoned_batch(attack, trigger, data, poisoned, index, generator_for(3, "epoch"))
    augmented = augment(data.images[index], draw(48, generator_for(3, "epoch"))).float() / 255

    assert batch.shape == (48, *SHAPE)
    assert not torch.equal(augmented, data.floats(index)), "nothing was augmented: the test would prove nothing"
    chosen = poisoned[index]
    assert 0 < int(chosen.sum()) < 48
    for image, expected, attacked in zip(batch, augmented, chosen, strict=True):
        if attacked:
            assert torch.equal(image[:, 29:, 29:], trigger.pattern)
            outside = torch.ones(32, 32, dtype=torch.bool)
            outside[29:, 29:] = False
            assert torch.equal(image[:, outside], expected[:, outside])
        else:
            assert torch.equal(image, expected)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_batch_of_one_kind_only(rate):
    data, attack = images_of(8), attacks["badnets"](poison_rate=rate)
    trigger, poisoned = attack.trigger(SHAPE), torch.full((8,), bool(rate))
    batch = poisoned_batch(attack, trigger, data, poisoned, torch.arange(8), generator_for(0))
    assert bool((batch[:, :, 29:, 29:] == trigger.pattern).flatten(1).all(1).all()) == bool(rate)


def test_a_batch_leaves_the_training_set_alone():
    data, attack = images_of(8), attacks["badnets"]()
    before = data.images.clone()
    poisoned_batch(
        attack, attack.trigger(SHAPE), data, torch.ones(8, dtype=torch.bool), torch.arange(8), generator_for(0)
    )
    assert torch.equal(data.images, before)


def test_an_attack_that_draws_for_every_sample_gets_a_generator_and_its_own_images():
    """What the enhancement builds on: poisoned images come to ``poison``, benign ones to ``accompany``, once each."""
    seen = {}

    class Spy(attacks["badnets"]):
        def poison(self, images, trigger, generator):
            seen["poisoned"] = images.clone()
            return torch.rand(images.shape, generator=generator)

        def accompany(self, images, generator):
            seen["benign"] = images.clone()
            return torch.rand(images.shape, generator=generator)

    data, attack = images_of(10), Spy()
    assert isinstance(attack, Attack)
    poisoned = torch.arange(10) % 3 == 0
    arguments = (attack, attack.trigger(SHAPE), data, poisoned, torch.arange(10))
    first, second = (poisoned_batch(*arguments, generator_for(0, "epoch", epoch)) for epoch in (0, 1))
    assert (len(seen["poisoned"]), len(seen["benign"])) == (4, 6)
    assert not torch.equal(first, second)
    assert torch.equal(first, poisoned_batch(*arguments, generator_for(0, "epoch", 0)))
