"""The rules are fair to the paper: its own numbers of Tables 1 to 5 satisfy every claim that they decide."""

from __future__ import annotations

import re

import numpy as np
import pytest

from core.defenses import defenses
from core.metrics import Rate
from core.paper.claims import judge_defenses, judge_repairs
from core.paper.claims.base import HOLDS, LI, NOT_MEASURED
from core.paper.constants import ENHANCED, PAPER_MODELS, STANDARD
from core.paper.numbers import paper_number, paper_numbers, paper_seconds
from core.paper.results import Results
from core.store.local import Store
from core.sweeps.repair import Repaired
from core.sweeps.strength import StrengthCurve
from core.transforms import transform_from_spec

# The test set of CIFAR-10, and its images that are not of the target class; repairs are measured on half of them.
CLEAN, ATTACKED, HALF = 10_000, 9000, 2


def curves_of(model, attack):
    """The paper's numbers of one network and attack as curves, with the counts that they are of."""
    found = {}
    for one in paper_numbers():
        if (one.model, one.attack) == (model, attack) and one.defense and one.defense not in defenses:
            step = transform_from_spec(one.defense).steps[0]
            found.setdefault(step.name, {0.0: paper_number(model, attack, "")})[step.value] = one
    return {name: curve_of(dict(sorted(cells.items()))) for name, cells in found.items()}


def curve_of(cells):
    every = np.full(len(cells), 1)
    clean = [0 if one.clean is None else round(one.clean / 100 * CLEAN) for one in cells.values()]
    hits = [round(one.success / 100 * ATTACKED) for one in cells.values()]
    tried = np.array([0 if one.clean is None else CLEAN for one in cells.values()])
    return StrengthCurve(np.array(hits), ATTACKED * every, tuple(cells), np.array(clean), tried, CLEAN)


def repairs_of(model, attack):
    found = {}
    for name in defenses:
        number = paper_number(model, attack, name)
        success = Rate(round(number.success / 100 * ATTACKED / HALF), ATTACKED // HALF)
        # The text has one number for the auto-encoder, of both networks or of one.
        seconds = paper_seconds(model, name) or paper_seconds("vgg19", name)
        described = {"name": name, "params": defenses[name]().to_dict()}
        found[name] = Repaired(defense=described, done=1, seconds=seconds, success=success)
    return found


def verdicts_of(model):
    measured = {attack: curves_of(model, attack) for attack in (*STANDARD, *ENHANCED)}
    repairs = {attack: repairs_of(model, attack) for attack in STANDARD}
    return [*judge_defenses(measured), *judge_repairs(repairs, dict.fromkeys(repairs, 4))]


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_the_papers_own_numbers_hold(model):
    judged = {verdict.claim.id: verdict for verdict in verdicts_of(model) if verdict.outcome != NOT_MEASURED}
    assert {name: verdict.sentence for name, verdict in judged.items() if verdict.outcome != HOLDS} == {}
    spatial = {
        "shrinkpad-stops", "flip-stops", "flip-spares-consistent", "clean-kept", "repairs-stop", "no-training-time",
        "enhanced-survive", "enhanced-better", "enhanced-improve", "enhanced-high-within",
    }  # fmt: skip
    values = {"values-spare", "noise-spares", "noise-costs-clean", "colour-spares-clean"}  # ResNet-34 alone
    assert set(judged) == spatial | (values if model == "resnet34" else set())


def test_the_exceptions_that_the_paper_has_are_counted_and_named():
    judged = {verdict.claim.id: verdict for verdict in verdicts_of("resnet34")}
    assert "8 of 9" in judged["repairs-stop"].sentence  # 18.9% after Fine-Pruning, within its uncertainty of 20%
    assert judged["enhanced-better"].missing == ("badnets+",)  # a row that the text has lost
    assert judged["enhanced-better"].sentence == (
        "Of Blended+ and Consistent+ only (BadNets+ is not measured): holds: in 5 of 6 cases, not Consistent+ behind "
        "Flip"
    )


def test_every_claim_of_the_paper_has_its_sentence_and_its_rule():
    claims = [verdict.claim for verdict in Results.read(Store(), "shapes10", "resnet20").verdicts()]
    for claim in claims:
        assert claim.rule.endswith(".")
        assert (claim.source == LI) == bool(claim.quote), claim.id
        assert not claim.quote or claim.quote[-1] in ".…", claim.id
        # Every bound of a rule is a number that stands in it.
        assert re.search(r"\d|half|tenth|higher|lower|flag|mask|by construction", claim.rule), claim.id
    assert len({claim.id for claim in claims}) == len(claims)
    sources = [claim.source for claim in claims]
    assert sources == sorted(sources, key=lambda source: source != LI), "those of others come last"
    assert {claim.id for claim in claims if claim.source != LI} == {"cleanse-flags-target", "cleanse-spares-clean"}
