"""What the paper says about its results, as claims that measured numbers decide.

One rule decides every comparison: the end of the 95% interval that is less favourable. What is within its uncertainty
of a bound is left open, and an attack that is open, or one of several that differ, makes the verdict *mixed*. What
words such as "almost unchanged" are taken to mean stands in :mod:`core.paper.claims.base`; the paper's own numbers
satisfy it.

>>> nothing_measured = judge_saliency({})
>>> [verdict.outcome for verdict in nothing_measured]
['not measured here', 'not measured here', 'not measured here', 'not measured here']
"""

from core.paper.claims.ablation import judge_ablation
from core.paper.claims.base import Claim, Verdict
from core.paper.claims.edges import judge_edges
from core.paper.claims.physical import judge_physical
from core.paper.claims.repairs import judge_repairs
from core.paper.claims.saliency import judge_saliency
from core.paper.claims.sensitivity import judge_sensitivity
from core.paper.claims.transformations import judge_defenses

__all__ = [
    "Claim",
    "Verdict",
    "judge_ablation",
    "judge_defenses",
    "judge_edges",
    "judge_physical",
    "judge_repairs",
    "judge_saliency",
    "judge_sensitivity",
]
