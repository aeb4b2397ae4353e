"""What the paper says about its results, as claims that measured numbers decide.

Where a claim compares, it is decided by intervals: what lies within its uncertainty of the other side does not hold.

>>> nothing_measured = judge_saliency({})
>>> [verdict.holds for verdict in nothing_measured]
[None, None, None, None]
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
