"""The audit report: its numbers are those of a plain loop, its sentences say them, and its file needs nothing else."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from core.audit import findings
from core.audit.conclusion import best_stopper, conclusion
from core.audit.findings import Audit, audit, shown_strengths
from core.audit.report import render, write_report
from core.metrics import Rate
from core.store.card import Missing
from core.store.local import DEFAULT_ROOT, Store
from core.sweeps.appearance import AppearanceCurve
from core.sweeps.base import attacked
from core.sweeps.location import LocationMap
from core.sweeps.saliency import Energies, Energy
from core.sweeps.saliency_methods import RANDOMISED, TRAINED, MethodScores, SaliencyMethods
from core.sweeps.strength import StrengthCurve
from core.transforms import transforms
from core.trigger import stamp

KEY = "shapes10/resnet20/badnets"


@pytest.fixture(scope="module")
def stored() -> Audit:
    *_, last = audit(Store().checkpoint(KEY))
    return last.audit


@pytest.fixture
def bare(tmp_path):
    """The same model with nothing stored beside it."""
    folder = tmp_path / KEY
    folder.mkdir(parents=True)
    for name in ("card.json", "model.safetensors"):
        shutil.copy(DEFAULT_ROOT / KEY / name, folder / name)
    return Store(tmp_path)


def card_of(key: str = KEY):
    return Store().checkpoint(key).card()


def made(**parts) -> Audit:
    return Audit(card=card_of(), **parts)


def test_what_is_stored_is_taken(stored):
    checkpoint = Store().checkpoint(KEY)
    assert stored.measured == ()
    assert stored.location.to_dict() == LocationMap.from_dict(checkpoint.result("location")).to_dict()
    assert set(stored.strengths) == {name for name in transforms if transforms[name].evaluated}
    assert set(stored.repairs) == {"auto-encoder", "fine-pruning", "neural-cleanse"}
    assert stored.at_home == checkpoint.card().attack_success_rate


def test_what_is_not_stored_is_measured_as_a_plain_loop_does(bare, monkeypatch):
    monkeypatch.setattr(findings, "COUNTS", {"location": 2, "appearance": 4, "strength": 12, "saliency": 4})
    *_, last = audit(bare.checkpoint(KEY))
    found = last.audit
    assert set(found.measured) >= {"location", "appearance", "energies", "shrinkpad"}
    assert any("Neural Cleanse was not run" in note for note in found.notes)
    checkpoint = bare.checkpoint(KEY)
    card, model = checkpoint.card_and_model()
    trigger, target = card.attack_object.trigger(card.shape), card.attack_object.target
    data = card.dataset_object.load("test")
    images = attacked(data, target, 2)
    assert found.location.total.max() == 2
    with torch.no_grad():
        for row, col in ((31, 31), (2, 2), (17, 9)):
            hits = int((model(stamp(images, trigger.at(row, col))).argmax(1) == target).sum())
            assert found.location.at(row, col) == Rate(hits, 2)
        dark = stamp(attacked(data, target, 4), trigger.with_value(0.0))
        assert found.appearance.at(0) == Rate(int((model(dark).argmax(1) == target).sum()), 4)
        first = data.subset(slice(12))
        right = int((model(first.floats()).argmax(1) == first.labels).sum())
    assert found.strengths["flip"].at(0).clean == Rate(right, 12)
    assert found.energies.images == 4
    assert len(found.pictures.images) == findings.PICTURES
    assert float(found.pictures.maps.amax()) == pytest.approx(1.0)


def test_without_the_data_the_stored_numbers_are_there(monkeypatch, tmp_path):
    for name in ("TRIGGER_DATA",):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    *_, last = audit(Store().checkpoint("cifar10/resnet20/badnets"))
    found = last.audit
    assert found.pictures is None
    assert found.location is not None
    assert any(note.startswith("No images are shown: ") for note in found.notes)
    assert "<h2>Where the network looks</h2>" in render(found)


def test_a_model_that_is_not_there_is_said():
    with pytest.raises(Missing, match="there is no checkpoint shapes10/resnet20/nothing"):
        next(audit(Store().checkpoint("shapes10/resnet20/nothing")))


def curve(strengths, hits, clean, total=100) -> StrengthCurve:
    of = [total] * len(strengths)
    return StrengthCurve(np.array(hits), np.array(of), strengths, np.array(clean), np.array(of), total)


def test_the_best_defense_is_the_one_that_leaves_least_at_an_affordable_cost():
    found = made(
        strengths={
            "shrinkpad": curve((0, 2, 4), [100, 40, 1], [90, 88, 80]),  # 4 costs ten points
            "flip": curve((0, 1), [100, 30], [90, 90]),
            "noise": curve((0, 10), [100, 30], [90, 86]),
        }
    )
    best = best_stopper(found)
    assert (best.label, best.success, best.clean) == ("Flip", Rate(30, 100), Rate(90, 100))
    assert best_stopper(made(strengths={"flip": curve((0, 1), [100, 0], [90, 80])})) is None


def test_the_sentences_say_the_numbers():
    hits = np.zeros((30, 30), dtype=int)
    hits[29, 29], hits[0, 0], hits[29, 28] = 100, 50, 7
    rows = tuple(range(2, 32))
    found = made(
        location=LocationMap(hits, np.full((30, 30), 100), rows, rows),
        appearance=AppearanceCurve(np.array([0, 49, 50]), np.array([100] * 3), (0, 128, 255)),
        strengths={"flip": curve((0, 1), [100, 3], [90, 91])},
        energies=Energies(Energy(50, 0.2, 0.1, 0.01, 45), Energy(50, 0.1, 0.1, 0.01, 5), 50, 50),
    )
    where, stops, shows = conclusion(found)
    assert "at 2 of 900 places" in where
    assert "one pixel away on at most 7.0% (" in where
    assert "Flip stops most: it leaves 3.0% (1.0 to 8.5, n = 100), and costs nothing" in stops
    assert "of pixel value 128 or darker the backdoor fires on fewer than half" in stops
    assert shows.startswith("On 90.0% (78.6 to 95.7, n = 50) of the attacked images")
    assert shows.endswith("Neural Cleanse was not run.")


def test_the_sentences_say_what_is_not_known():
    where, stops, shows = conclusion(made())
    assert "is not known" in where
    assert "is not known" in stops
    assert shows == "Where the network looks is not known; Neural Cleanse was not run."


def test_a_curve_that_goes_up_and_down_is_not_said_to_have_an_end():
    found = made(appearance=AppearanceCurve(np.array([90, 10, 90]), np.array([100] * 3), (0, 128, 255)))
    assert "at 1 of 3 pixel values" in conclusion(found)[1]


@pytest.mark.parametrize("grid", [transforms[name].grid for name in transforms])
def test_a_few_strengths_begin_with_none_and_end_with_the_largest(grid):
    shown = shown_strengths(grid)
    assert (shown[0], shown[-1]) == (grid[0], grid[-1])
    assert len(shown) == len(set(shown)) <= findings.STRENGTHS + 1


class Loads(HTMLParser):
    """What a page would fetch, and the tags that it leaves open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset") and not str(value).startswith(("data:", "#")):
                self.fetched.append(f"{tag} {name}={value}")


def test_the_file_needs_nothing_else_and_runs_nothing(stored):
    page = render(stored)
    loads = Loads(page)
    assert not loads.fetched
    assert loads.scripts == 0
    assert "@import" not in page
    assert not re.search(r"url\((?!['\"]?(#|data:))", page)
    assert len(page.encode()) < 5e6
    assert page.count("<svg") == 4
    for sentence in conclusion(stored):
        assert sentence.replace("&", "&amp;") in page


def test_measures_and_methods_stand_in_the_report_with_what_random_weights_give(stored):
    """Of two methods, the one that finds the trigger in a network with random weights too is marked."""

    def energies(mean):
        return Energies(Energy(50, mean, 0.01, 0.01, 45), Energy(50, 0.01, 0.01, 0.01, 5), 50, 50)

    scores = tuple(
        MethodScores(method, {}, "target", network, energies(mean))
        for method, means in {"gradient": (0.2, 0.01), "inputxgradient": (0.3, 0.3)}.items()
        for network, mean in zip((TRAINED, RANDOMISED), means, strict=True)
    )
    page = render(dataclasses.replace(stored, energies=energies(0.2), methods=SaliencyMethods(scores, len(scores))))
    rows = {
        cells[0]: cells[1:]
        for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
        if (cells := [re.sub(r"<.*?>|\s+", " ", cell).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)])
    }
    assert rows["Vanilla gradient"][0] == "20.0 %"
    assert rows["Input x Gradient"][0] == "30.0 % *"
    pointing = next(values for name, values in rows.items() if name.startswith("Pointing game"))
    assert pointing[0].startswith("90.0 %")
    assert pointing[1].startswith("10.0 %")
    assert not any(name.startswith("Recovery rate") for name in rows), "was not measured"


def test_names_from_files_are_text_in_the_report(stored):
    evil = '<script>alert(1)</script><img src="http://elsewhere/x">'
    card = dataclasses.replace(
        stored.card, classes=(*stored.card.classes[:-1], evil), encoding=evil, dataset="shapes10", weights=evil
    )
    page = render(dataclasses.replace(stored, card=card, notes=(evil,)))
    loads = Loads(page)
    assert not loads.fetched
    assert loads.scripts == 0


def test_equal_audits_are_equal_files(stored):
    from datetime import UTC, datetime

    at = datetime(2020, 1, 1, tzinfo=UTC)
    assert render(stored, at) == render(stored, at)


def test_it_is_written_whole_and_says_how_far_it_is(tmp_path):
    path = tmp_path / "report.html"
    steps = list(write_report(str(DEFAULT_ROOT), KEY, str(path)))
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == 1.0
    assert json.loads(json.dumps(steps[0].to_dict())) == steps[0].to_dict()
    assert path.read_text().rstrip().endswith("</html>")
