"""Saliency methods compared on one attack: which finds the trigger, and which only looks as if (Sec. 5.4).

The trigger is known, so that every method is measured by where it must point. Beside the attacked network stand two
controls: the same network with random weights, which a method that explains the network must not find the trigger in,
and the clean model, which does not know the trigger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from core.metrics import Rate
from core.schemas import results as schemas
from core.schemas.base import checked
from core.sweeps.saliency import Energies, Energy, Mean, energy_sweep
from core.transforms import Compose
from core.trigger import Trigger

if TYPE_CHECKING:  # what is stored can be read without captum, which takes a second to import
    from core.attribution.methods import Explained, Method

__all__ = [
    "CLEAN",
    "CLEAN_MODEL",
    "CONTROLS",
    "FEWEST",
    "MEASURES",
    "NETWORKS",
    "RANDOMISED",
    "RANDOM_MAP",
    "RANDOM_WEIGHTS",
    "TRAINED",
    "Estimate",
    "Measure",
    "MethodScores",
    "SaliencyMethods",
    "Variant",
    "measured",
    "methods_sweep",
]

TRAINED, RANDOMISED, CLEAN = "trained", "randomised", "clean"
NETWORKS = (TRAINED, RANDOMISED, CLEAN)
"""Which network is explained: the attacked one, the same with random weights, or the clean model."""

RANDOM_WEIGHTS, CLEAN_MODEL, RANDOM_MAP = "random weights", "clean model", "random map"
CONTROLS: Mapping[str, str] = {RANDOM_WEIGHTS: "*", CLEAN_MODEL: "†", RANDOM_MAP: "°"}
"""What a method is compared with, itself on the network with random weights and on the clean model, and a map of
chance; and the mark behind a number that is no better."""

FEWEST = 30
"""A measure of fewer images says too little to be compared, or shown in a table."""

CHANCE = "random"
"""Registered name of the map of chance."""

COSTLY_SHARE = 8
"""A costly method is measured on the first eighth of the images."""

Params = Mapping[str, Any]


class Estimate(NamedTuple):
    """A measure of many images: its value and 95% interval, all in [0, 1], the number of images, and hits of a rate."""

    value: float
    low: float
    high: float
    images: int
    hits: int | None = None


def _mean(mean: Mean | None) -> Estimate | None:
    return Estimate(mean.mean, *mean.interval, mean.count) if mean is not None and mean.count else None


def _rate(rate: Rate | None) -> Estimate | None:
    return Estimate(rate.value, *rate.interval, rate.total, rate.hits) if rate is not None and rate.total else None


@dataclass(frozen=True)
class Measure:
    """One way to say how well the maps find the trigger; more is better.

    Attributes:
        label: Its name in the field.
        help: What it is, in a sentence, with its source.
        of: Takes it from what was measured; None where it was not.
    """

    label: str
    help: str
    of: Callable[[Energy], Estimate | None]


MEASURES: Mapping[str, Measure] = {
    "mass": Measure(
        "Relevance mass accuracy", "Share of the saliency that lies on the trigger (Arras et al. 2022).", _mean
    ),
    "rank": Measure(
        "Relevance rank accuracy",
        "Share of the most salient pixels, as many as the trigger has, that are the trigger's (Arras et al. 2022).",
        lambda energy: _mean(energy.more.rank if energy.more else None),
    ),
    "pointing": Measure(
        "Pointing game",
        "How often the most salient pixel is on the trigger, or next to it (Zhang et al. 2018).",
        lambda energy: _rate(energy.peak_rate),
    ),
    "overlap": Measure(
        "Intersection over union",
        "Overlap of the trigger with the pixels that have at least half of the largest saliency (after Lin et al. "
        "2021; the half is chosen here).",
        lambda energy: _mean(energy.more.overlap if energy.more else None),
    ),
    "recovery": Measure(
        "Recovery rate",
        "How often the true class comes back when the pixels that have at least half of the largest saliency are "
        "covered by the clean image's (after Lin et al. 2021; the half is chosen here).",
        lambda energy: _rate(energy.more.recovered if energy.more else None),
    ),
    "deletion": Measure(
        "Deletion",
        "How often the image is no longer taken for the target when the most salient pixels, as many as the trigger "
        "has, turn gray (after Petsiuk et al. 2018).",
        lambda energy: _rate(energy.more.deleted if energy.more else None),
    ),
}
"""The measures of the comparison, by a short name."""


def measured(measure: Measure, energies: Energies, kind: str) -> Estimate | None:
    """A measure of many images; None where it was not taken, or on too few (:data:`FEWEST`) of many.

    Args:
        measure: The measure.
        energies: What was measured.
        kind: ``attacked`` or ``transformed``.
    """
    found = measure.of(getattr(energies, kind))
    return found if found is not None and found.images >= min(FEWEST, energies.images) else None


@dataclass(frozen=True)
class MethodScores:
    """What one method's maps of one network give.

    Attributes:
        method: Registered name of the method.
        params: Its parameters.
        explain: Whose logit is explained, one of :data:`core.sweeps.saliency.TARGETS`.
        network: One of :data:`NETWORKS`.
        energies: The measures, on attacked images and behind the transformation.
    """

    method: str
    params: Params
    explain: str
    network: str
    energies: Energies

    @property
    def method_label(self) -> str:
        """Name of the method for people; of a plugin that is not here, its registered name."""
        from core.attribution.methods import methods

        return methods[self.method].label if self.method in methods else self.method

    @property
    def label(self) -> str:
        """Name of the method, and of the way in which its map is made if that is not the usual one."""
        tool = "" if self.explain == "target" else ", as FlashTorch: largest signed value, predicted class"
        return self.method_label + tool

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        described = {"method": self.method, "params": dict(self.params), "explain": self.explain}
        return described | {"network": self.network} | self.energies.to_dict()


@dataclass(frozen=True)
class SaliencyMethods:
    """All methods on one attack.

    Attributes:
        scores: One entry for each method, choice of logit and network.
        wanted: How many entries it will have.
    """

    scores: tuple[MethodScores, ...]
    wanted: int

    @property
    def done(self) -> float:
        """Share that is measured, 0 to 1."""
        return sum(score.energies.done for score in self.scores) / self.wanted

    def of(
        self, method: str, *, explain: str = "target", network: str = TRAINED, params: Params | None = None
    ) -> Energies | None:
        """The measures of one method; with ``params`` of that variant, else of the first."""
        for score in self.scores:
            if (score.method, score.explain, score.network) != (method, explain, network):
                continue
            if params is None or dict(params).items() <= dict(score.params).items():
                return score.energies
        return None

    def no_better_than(self, score: MethodScores, measure: Measure) -> tuple[str, ...]:
        """The controls, of :data:`CONTROLS`, that a method on the attacked network is no better than.

        One is the same method on the network with random weights (Adebayo et al. 2018): a method that scores as well
        there shows nothing learned. Another is the same method on the clean model: what it finds there is no backdoor.
        The third is a map of chance, as some measures reward any map with many large values. A method is better than a
        control if its 95% interval on attacked images is above the control's. A control that has no value, or one of
        fewer than :data:`FEWEST` images, as of deletion on a network that takes hardly an image for the target, is left
        out.
        """
        if score.network != TRAINED:
            return ()
        found = {
            name: self.of(score.method, explain=score.explain, network=network, params=score.params)
            for name, network in ((RANDOM_WEIGHTS, RANDOMISED), (CLEAN_MODEL, CLEAN))
        }
        if score.method != CHANCE:
            found[RANDOM_MAP] = self.of(CHANCE)
        own = measured(measure, score.energies, "attacked")
        others = {
            name: measured(measure, control, "attacked") for name, control in found.items() if control is not None
        }
        return tuple(name for name, other in others.items() if own and other and own.low <= other.high)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"scores": [score.to_dict() for score in self.scores]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SaliencyMethods:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: If it is damaged.
        """
        stored = checked(schemas.SaliencyMethods, values)
        scores = tuple(
            MethodScores(score.method, score.params, score.explain, score.network, Energies.read(score))
            for score in stored.scores
        )
        return cls(scores, len(scores))


@dataclass(frozen=True)
class Variant:
    """A method to measure, and whose logit it explains."""

    method: Method
    explain: str = "target"


def methods_sweep(
    networks: Mapping[str, Explained],
    images: Tensor,
    labels: Tensor,
    trigger: Trigger,
    target: int,
    variants: Sequence[Variant],
    before: Compose,
    *,
    seed: int = 0,
) -> Iterator[SaliencyMethods]:
    """Measures every method on every network.

    Args:
        networks: What to explain, by its place in :data:`NETWORKS`.
        images: Images whose true class is not the target, floats ``(N, C, H, W)`` in [0, 1].
        labels: Their true classes, int64 ``(N,)``.
        trigger: What to stamp and where.
        target: The target label.
        variants: The methods.
        before: The transformation.
        seed: Seed of all draws.

    Yields:
        The result so far; the last one is complete.

    Raises:
        ValueError: If there are no images, or a choice is not allowed.
    """
    done: list[MethodScores] = []
    wanted = len(networks) * len(variants)
    for name, explained in networks.items():
        for variant in variants:
            method, explain = variant.method, variant.explain
            count = -(-len(images) // COSTLY_SHARE) if method.costly else len(images)
            described = method.name, method.to_dict(), explain, name
            score = None
            for energies in energy_sweep(
                explained,
                images[:count],
                labels[:count],
                trigger,
                target,
                method,
                before,
                explain=explain,
                seed=seed,
            ):
                score = MethodScores(*described, energies)
                yield SaliencyMethods((*done, score), wanted)
            assert score is not None
            done.append(score)
