"""Schemas of plans: of trainings that have not ended, and of what came with the repository."""

from __future__ import annotations

from core.schemas.base import Count, Described, FewSurprises, Method, Text

__all__ = ["About", "PlanFile", "Shipped"]


class PlanFile(FewSurprises):
    """What is trained, as :meth:`core.training.trainer.Plan.to_dict` writes it."""

    dataset: Method
    model: Text
    attack: Described
    recipe: Method
    seed: Count
    name: Text = ""


class About(FewSurprises):
    """``.training.json``. Its process is shown at most: nothing is ever sent to it."""

    process: object = None
    plan: PlanFile


class Shipped(FewSurprises):
    """``shipped.json``."""

    models: dict[Text, Text]
