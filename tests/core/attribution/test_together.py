"""Models explained together against each of them alone."""

from __future__ import annotations

import pytest
import torch

from core.attribution.methods import Explained, methods
from core.attribution.together import Together, takes
from core.models import build_model, models

TOGETHER = [name for name in methods.names() if takes(methods[name]())]


def explained(name, count=3, classes=5, channels=3):
    made = [build_model(name, classes=classes, channels=channels, seed=seed) for seed in range(count)]
    for number, model in enumerate(made):
        model.normalise.mean.fill_(0.4 + 0.05 * number)
        model.normalise.std.fill_(0.3)
    return [Explained(model) for model in made]


def test_the_methods_that_are_functions_of_the_gradient():
    assert TOGETHER == ["gradient", "inputxgradient"]


CASES = [("resnet20", method, reduction) for method in TOGETHER for reduction in ("absolute", "signed")]
CASES += [(name, "gradient", "absolute") for name in models.names() if name != "resnet20"]


@pytest.mark.parametrize(("network", "method", "reduction"), CASES)
def test_each_has_the_map_and_the_answer_that_it_has_alone(network, method, reduction):
    each, chosen = explained(network, 2), methods[method](reduction=reduction)
    images = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    asked = []

    def second_best(predicted):
        asked.append(predicted)
        return (predicted + 1) % 5

    predicted, saliency = Together(each).explain(chosen, images, second_best)
    assert torch.equal(asked[0], predicted)
    for number, one in enumerate(each):
        assert torch.equal(predicted[number], one.predict(images[number]))
        alone = chosen(one, images[number], (predicted[number] + 1) % 5)
        assert saliency[number].shape == alone.shape
        # An activation that is 0 but for rounding may pass its ReLU in one of them: single pixels then differ.
        assert float((saliency[number] - alone).abs().sum()) < 0.005 * float(alone.sum())
    assert float(saliency.max()) > 0


def test_models_stay_as_they_are():
    each = explained("resnet20", 2)
    before = [{name: tensor.clone() for name, tensor in one.model.state_dict().items()} for one in each]
    Together(each).explain(methods["gradient"](), torch.rand(2, 1, 3, 32, 32), lambda predicted: predicted)
    for one, was in zip(each, before, strict=True):
        assert all(torch.equal(tensor, was[name]) for name, tensor in one.model.state_dict().items())
        assert not any(parameter.requires_grad for parameter in one.model.parameters())


def test_what_cannot_be_explained_together_is_refused():
    one, other = explained("resnet20", 1), explained("resnet20", 1, classes=4)
    assert one[0].kind != other[0].kind
    for wrong in ([], [*one, *other], [*one, *explained("wrn-16-1", 1)]):
        with pytest.raises(ValueError, match="of one network"):
            Together(wrong)
    with pytest.raises(ValueError, match="Guided Backprop is no function of the gradient alone"):
        Together(one).explain(methods["guided"](), torch.rand(1, 1, 3, 32, 32), lambda predicted: predicted)
