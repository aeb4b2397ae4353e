"""What the paper says about its results, as claims that measured numbers decide.

One rule decides every comparison: the end of the 95% interval that is less favourable. What is within its uncertainty
of a bound is left open, and an attack that is open, or one of several that differ, makes the verdict *mixed*. What
words such as "almost unchanged" are taken to mean stands in :mod:`core.claims.base`; the paper's own numbers satisfy
it.

>>> nothing_measured = judge_saliency({})
>>> [verdict.outcome for verdict in nothing_measured]
['not measured here', 'not measured here', 'not measured here', 'not measured here']
"""

from core.claims.ablation import judge_ablation
from core.claims.base import Claim, Verdict
from core.claims.physical import judge_physical
from core.claims.repairs import judge_repairs
from core.claims.saliency import judge_saliency
from core.claims.sensitivity import judge_sensitivity
from core.claims.transformations import judge_defenses

__all__ = [
    "Claim",
    "Verdict",
    "judge_ablation",
    "judge_defenses",
    "judge_physical",
    "judge_repairs",
    "judge_saliency",
    "judge_sensitivity",
]
