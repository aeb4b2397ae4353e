"""Every classifier of torchvision and, where it is installed, of timm, by its name there.

``torchvision.resnet18`` is ``torchvision.models.resnet18``, ``timm.resnet18`` is ``timm.create_model("resnet18")``.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from torch import Tensor, nn

from core.models.base import Classifier, models
from core.registry import UnknownName

__all__ = ["torchvision_names"]


class _Named(Classifier):
    """A network of another library behind this project's normalisation.

    It computes as it is written there: no batch norm is folded, and location maps take whole passes.
    """

    folds: ClassVar[bool] = False
    build: ClassVar[Any]

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels)
        self.body: nn.Module = type(self).build(classes, channels)
        linear = [name for name, module in self.body.named_modules() if isinstance(module, nn.Linear)]
        if linear:
            self.head_name = f"body.{linear[-1]}"  # type: ignore[misc]

    @property
    def head(self) -> nn.Linear:
        """The linear layer that ends it.

        Raises:
            ValueError: If the network ends otherwise.
        """
        if self.head_name == type(self).head_name:
            raise ValueError(f"{self.label} does not end in a linear layer")
        return super().head

    @property
    def last_block(self) -> nn.Module:
        """Its last convolution."""
        return [module for module in self.body.modules() if isinstance(module, nn.Conv2d)][-1]

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)`` in [0, 1]."""
        logits: Tensor = self.body(self.normalise(images))
        return logits


def torchvision_names() -> list[str]:
    """Names of torchvision's classifiers of images."""
    from torchvision import models as theirs

    names: list[str] = theirs.list_models(module=theirs)
    return names


@models.family("torchvision.NAME", r"torchvision\.(\w+)")
def _of_torchvision(name: re.Match[str]) -> type[Classifier]:
    if name[1] not in torchvision_names():
        raise UnknownName(f"there is no model {name[0]!r}: torchvision has no classifier {name[1]}")

    def build(classes: int, channels: int) -> nn.Module:
        from torchvision import models as theirs

        if channels != 3:
            raise ValueError(f"{name[0]} takes images of 3 channels, not {channels}")
        # Untrained weights of these two take minutes, and they have further outputs, by default.
        more = {"init_weights": False, "aux_logits": False} if name[1] in ("inception_v3", "googlenet") else {}
        return theirs.get_model(name[1], weights=None, num_classes=classes, **more)  # type: ignore[no-any-return]

    return type("OfTorchvision", (_Named,), {"label": f"{name[1]} (torchvision)", "build": staticmethod(build)})


@models.family("timm.NAME (with the package timm)", r"timm\.([\w.-]+)")
def _of_timm(name: re.Match[str]) -> type[Classifier]:
    try:
        import timm
    except ImportError:
        raise UnknownName(
            f"there is no model {name[0]!r} here: it needs the package timm (pip install 'trigger-sensitivity[timm]')"
        ) from None
    if not timm.is_model(name[1]):
        raise UnknownName(f"there is no model {name[0]!r}: timm has no model {name[1]}")

    def build(classes: int, channels: int) -> nn.Module:
        made: nn.Module = timm.create_model(name[1], pretrained=False, num_classes=classes, in_chans=channels)
        return made

    return type("OfTimm", (_Named,), {"label": f"{name[1]} (timm)", "build": staticmethod(build)})
