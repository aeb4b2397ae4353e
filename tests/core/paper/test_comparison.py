"""Everything stored of a network: the paper's numbers beside those of the files, and the claims they decide."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from core.metrics import Rate
from core.paper.claims.base import LI
from core.paper.comparison import compared
from core.paper.numbers import paper_numbers
from core.paper.results import Results
from core.paper.tables.base import readable
from core.paper.tables.repairs import times
from core.store.local import DEFAULT_ROOT, Store
from core.sweeps.repair import SeedRun
from dashboard.server.subjects import Subject
from dashboard.tables.defenses import beside_the_paper
from dashboard.tables.paper import number_table
from dashboard.tables.rows import evaluated
from dashboard.views.cost import time_table
from dashboard.views.enhanced import table_5

TABLES = {"table1", "table2", "table3", "table4", "table5"}
FIGURES = {"fig4", "fig5", "fig10", "fig13"}


@pytest.fixture(scope="module")
def shapes():
    return Results.read(Store(), "shapes10", "resnet20")


def only(numbers, **wanted):
    found = [one for one in numbers if all(getattr(one, name) == value for name, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def test_every_number_of_the_papers_tables_is_there_and_every_figure(shapes):
    numbers = compared(shapes)
    assert {one.table for one in numbers} >= TABLES | FIGURES
    cells = sum(2 if one.clean is not None else 1 for one in paper_numbers())
    assert sum(one.table in TABLES - {"table2"} for one in numbers) == cells


def test_numbers_are_those_of_the_files(shapes):
    folder = DEFAULT_ROOT / "shapes10" / "resnet20" / "badnets"
    curve = json.loads((folder / "strength-shrinkpad.json").read_text())
    at = curve["strengths"].index(2)
    numbers = compared(shapes)
    found = only(numbers, table="table1", attack="badnets", defense="shrinkpad:2", quantity="asr", paper_model="vgg19")
    assert found.ours == pytest.approx(100 * curve["hits"][at] / curve["total"][at])
    assert found.n == curve["total"][at]
    assert found.low < found.ours < found.high
    assert found.paper == 22.7
    assert found.difference == pytest.approx(found.ours - 22.7)

    repair = json.loads((folder / "repair-fine-pruning.json").read_text())
    found = only(
        numbers, table="table1", attack="badnets", defense="fine-pruning", quantity="clean", paper_model="resnet34"
    )
    assert found.ours == pytest.approx(100 * repair["clean"]["hits"] / repair["clean"]["total"])

    location = json.loads((folder / "location.json").read_text())
    found = only(numbers, table="fig4", attack="badnets", defense="training location")
    assert found.ours == pytest.approx(100 * location["hits"][-1][-1] / location["total"][-1][-1])
    assert found.paper is None
    assert found.difference is None


def test_without_a_defense_the_card_is_enough(tmp_path):
    key = "shapes10/resnet20/badnets"
    (tmp_path / key).mkdir(parents=True)
    shutil.copy(DEFAULT_ROOT / key / "card.json", tmp_path / key)
    results = Results.read(Store(tmp_path), "shapes10", "resnet20")
    found = only(compared(results), attack="badnets", defense="", quantity="asr", paper_model="vgg19")
    assert found.ours == pytest.approx(100 * results.cards["badnets"].attack_success_rate.value)
    assert (
        only(
            compared(results), attack="badnets", defense="flip", quantity="asr", paper_model="vgg19", table="table1"
        ).ours
        is None
    )


def test_without_a_defense_what_was_measured_on_most_images_counts(shapes):
    curves = shapes.curves["badnets"]
    few = replace(curves["hue"], total=curves["hue"].total // 9, hits=curves["hue"].hits // 9)
    found = replace(shapes, curves={"badnets": {"hue": few, "flip": curves["flip"]}}).rate("badnets", "", "asr")
    assert found == curves["flip"].at(0).success
    found = replace(shapes, curves={"badnets": {"hue": few}}).rate("badnets", "", "asr")
    assert found == shapes.cards["badnets"].attack_success_rate
    assert found.total > few.at(0).success.total


def test_of_a_network_of_the_paper_only_its_own_numbers_are_beside(tmp_path):
    numbers = compared(Results.read(Store(tmp_path), "cifar10", "vgg19"))
    assert {one.paper_model for one in numbers if one.paper is not None} == {"vgg19"}
    assert all(one.ours is None for one in numbers)
    # Tables 3 and 4 are of ResNet-34 in the paper; what was measured of them can be seen, beside no number.
    shifted = [one for one in numbers if one.table in ("table3", "table4")]
    assert shifted
    assert {(one.paper, one.paper_model) for one in shifted} == {(None, "")}
    cells = [(one.table, one.attack, one.defense, one.quantity) for one in numbers]
    assert len(set(cells)) == len(cells)


def test_pages_compare_a_network_of_the_paper_with_itself_alone():
    checkpoint = Store().checkpoint("cifar10/vgg19/badnets")
    rows = evaluated([Subject(checkpoint, checkpoint.card())])
    assert {group for group, _ in table_5(rows).columns} == {"Measured", "Paper, VGG-19"}
    assert "Paper, VGG-19: ASR" in beside_the_paper(rows)
    assert "Paper, ResNet-34: ASR" not in beside_the_paper(rows)
    times = time_table(Results.read(Store(), "cifar10", "vgg19"))
    assert not any("ResNet-34" in column for column in times)


def test_table_2_is_the_mean_over_the_standard_attacks_and_one_number_everywhere(shapes):
    """The paper: "the average training time over defending all three attacks"; enhanced ones do not count."""
    spent = {}
    for attack in ("badnets", "blended", "consistent"):
        values = json.loads((DEFAULT_ROOT / f"shapes10/resnet20/{attack}/repair-fine-pruning.json").read_text())
        runs = [run["seconds"] for run in values.get("runs", ())] or [values["seconds"]]
        spent[attack] = sum(runs) / len(runs)
    mean = sum(spent.values()) / 3
    assert shapes.seconds("fine-pruning").mean == pytest.approx(mean)
    assert shapes.seconds("fine-pruning").attacks == tuple(spent)
    numbers = [one for one in compared(shapes) if (one.table, one.defense) == ("table2", "fine-pruning")]
    assert {one.ours for one in numbers} == {shapes.seconds("fine-pruning").mean}
    assert {one.over for one in numbers} == {"badnets blended consistent"}
    row = number_table(numbers, "shapes10").iloc[0]
    assert (row["Attack"], row["Measured"]) == ("mean of BadNets, Blended and Consistent", pytest.approx(mean))
    table = time_table(shapes).set_index("Defense")
    assert table.loc["Fine-Pruning", "Seconds here"] == round(mean, 1)
    assert table.loc["Fine-Pruning", "Attacks"] == "BadNets, Blended and Consistent"
    lines = {row[0]: row for row in times(readable(Store()))}
    assert f"**{mean:.1f}**" in lines["**Table 2**: shapes10/resnet20, mean of badnets, blended, consistent"]


def test_table_2_of_some_attacks_says_which(shapes):
    some = replace(shapes, repairs={title: shapes.repairs[title] for title in ("badnets", "badnets+")})
    assert some.seconds("auto-encoder").attacks == ("badnets",)
    assert replace(shapes, repairs={}).seconds("auto-encoder") is None
    run = SeedRun(seed=1, seconds=30.0, clean=Rate(1, 1), success=Rate(1, 1))
    twice = replace(shapes.repairs["badnets"]["auto-encoder"], runs=(replace(run, seed=0, seconds=10.0), run))
    assert replace(shapes, repairs={"badnets": {"auto-encoder": twice}}).seconds("auto-encoder").mean == 20


def test_every_claim_has_its_own_name_and_is_in_the_order_of_the_paper(shapes):
    verdicts = shapes.verdicts()
    assert len({verdict.claim.id for verdict in verdicts}) == len(verdicts) >= 18
    own = [verdict.claim.section for verdict in verdicts if verdict.claim.source == LI]
    assert own == sorted(own)
    assert json.loads(json.dumps([verdict.to_dict() for verdict in verdicts]))


def test_damaged_results_are_left_out(tmp_path):
    key = "shapes10/resnet20/badnets"
    shutil.copytree(DEFAULT_ROOT / key, tmp_path / key)
    (tmp_path / key / "location.json").write_text("{")
    (tmp_path / key / "strength-flip.json").write_text('{"schema": 1, "weights": "no"}')
    damaged = tmp_path / "shapes10/resnet20/blended"
    damaged.mkdir()
    (damaged / "card.json").write_text("{}")
    results = Results.read(Store(tmp_path), "shapes10", "resnet20")
    assert set(results.cards) == {"badnets"}
    assert not results.maps
    assert "flip" not in results.curves["badnets"]
    assert "shrinkpad" in results.curves["badnets"]


def test_a_variant_takes_no_number_of_the_reference(tmp_path):
    """Another model of the same attack, or a copy made by hand, stands beside the reference and is not compared."""
    key = "shapes10/resnet20/badnets"
    shutil.copytree(DEFAULT_ROOT / key, tmp_path / key)
    before = compared(Results.read(Store(tmp_path), "shapes10", "resnet20"))
    shutil.copytree(DEFAULT_ROOT / key, tmp_path / f"{key}-old")
    shutil.copytree(DEFAULT_ROOT / "shapes10" / "resnet20" / "badnets+", tmp_path / f"{key}-target2")
    card = tmp_path / f"{key}-target2" / "card.json"
    values = json.loads(card.read_text()) | {"name": "badnets-target2"}
    del values["attack"]["enhanced"]
    values["attack"]["params"]["target"] = 2
    card.write_text(json.dumps(values))
    assert sorted(Store(tmp_path).keys()) == [key, f"{key}-old", f"{key}-target2"]
    found = Results.read(Store(tmp_path), "shapes10", "resnet20")
    assert list(found.cards) == ["badnets"]
    assert found.cards["badnets"].attack_object.target == 4
    assert compared(found) == before
