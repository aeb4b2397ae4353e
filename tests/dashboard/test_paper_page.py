"""Page *Paper against measured*: our numbers beside the paper's, and links that show where each comes from."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl

import pytest
from pages import _alone, page

from core.paper.claims import Claim, Verdict
from core.paper.claims.base import HOLDS, OUTCOMES, WANG
from core.paper.comparison import Number, compared
from core.paper.results import Results
from core.store.local import Store
from dashboard.saving.tables import number_rows
from dashboard.tables.claims import RULE, STYLE, verdict_html
from dashboard.tables.paper import agreement, attack_label, link_of, number_table, tinted

__all__ = ["_alone"]  # the fixture that keeps data and cache away
KEY = "shapes10/resnet20/badnets"


@pytest.fixture(scope="module")
def numbers() -> list[Number]:
    return compared(Results.read(Store(), "shapes10", "resnet20"))


def number(**changes: object) -> Number:
    values = {
        "table": "table1", "model": "resnet20", "attack": "badnets", "defense": "flip", "quantity": "asr",
        "paper": 10.0, "paper_model": "vgg19", "ours": 14.0, "n": 100, "low": 8.0, "high": 22.0,
    }  # fmt: skip
    return Number(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("view", ["claims", "tables", "figures"])
def test_every_part_shows(view: str) -> None:
    test = page("paper", model=KEY, view=view)
    assert not test.exception
    assert not test.error
    assert not test.warning
    assert next(metric.label for metric in test.metric) == "Statements that hold"
    if view == "claims":
        shown = " ".join(element.proto.body for element in test.get("html"))
        assert "the ASR will drop sharply from 100% to below 50%" in shown, "the paper's sentence"
        assert "<b>Our rule:</b> At the training location the rate is at least 95%" in shown
        assert "Wang et al. 2019" in shown.partition("generalizes well on out-of-sample images")[2]
        assert any(text.value == "#### Not of the paper: Wang et al. 2019" for text in test.markdown)
        assert any(text.value == RULE for text in test.caption)
    else:
        assert len(test.dataframe) == {"tables": 6, "figures": 6}[view]


def test_a_network_without_results_says_what_makes_them(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from core.store.local import DEFAULT_ROOT

    (tmp_path / "store" / KEY).mkdir(parents=True)
    shutil.copy(DEFAULT_ROOT / KEY / "card.json", tmp_path / "store" / KEY)
    monkeypatch.setenv("TRIGGER_CHECKPOINTS", str(tmp_path / "store"))
    test = page("paper", view="tables")
    assert not test.exception
    assert any("reproduce.py --dataset shapes10 --models resnet20 --only table3" in info.value for info in test.info)


def test_what_is_not_allowed_in_the_link_is_one_sentence() -> None:
    test = page("paper", view="nix")
    assert any("view = 'nix'; allowed is one of claims, tables, figures" in warning.value for warning in test.warning)


def test_links_lead_to_pages_that_take_them(numbers: list[Number]) -> None:
    """One link of each kind, on the page it names: nothing in it is refused."""
    kinds = {(one.table, one.defense.partition(":")[0]): one for one in numbers if one.ours is not None}
    seen = set()
    for one in kinds.values():
        name, _, query = link_of(one, "shapes10").partition("?")
        assert name != "location", "no address: it opens first"
        name = "location" if name == "/" else name
        given = dict(parse_qsl(query))
        shape = (name, tuple(sorted(given)), given.get("defense"), given.get("with"))
        if shape in seen:
            continue
        seen.add(shape)
        test = page(name, **given)
        assert not test.exception, query
        assert not test.warning, (query, [warning.value for warning in test.warning])
    standard = next(one for one in numbers if one.ours is not None and one.attack and not one.defense)
    assert link_of(standard, "shapes10").endswith("defense=shrinkpad&shrinkpad-strength=0")
    assert {name for name, *_ in seen} == {"location", "appearance", "defenses", "saliency", "enhanced", "physical"}


def test_one_row_has_both_networks_of_the_paper_and_the_nearer_difference() -> None:
    table = number_table([number(), number(paper=13.0, paper_model="resnet34")], "shapes10")
    assert len(table) == 1
    row = table.iloc[0]
    assert (row["Paper, VGG-19"], row["Paper, ResNet-34"], row["Measured"], row["Difference"]) == (10, 13, 14, 1)
    assert row["95% interval"] == "8.0 to 22.0"


def test_the_tint_follows_the_difference() -> None:
    far, near = number(ours=90.0), number(attack="blended", ours=10.0)
    html = tinted(number_table([far, near], "shapes10")).to_html()  # type: ignore[attr-defined]
    assert html.count("0.55)") == 1
    assert "None" not in html


def test_agreement_counts_each_rate_once() -> None:
    both = [number(ours=40.0), number(ours=40.0, paper=38.0, paper_model="resnet34")]
    missing = number(attack="blended", ours=None)
    seconds = number(table="table2", quantity="seconds", ours=1.0)
    assert agreement([*both, missing, seconds]) == (2, 1, 1)


def test_the_file_has_every_number(numbers: list[Number]) -> None:
    header, *rows = number_rows(numbers, Results("shapes10", "resnet20"))
    assert len(rows) == len(numbers)
    for one, row in zip(numbers, rows, strict=True):
        said = dict(zip(header, row, strict=True))
        assert said["paper_table"] == one.table
        paper = said["paper_seconds"] if one.quantity == "seconds" else said["paper_percent"]
        assert paper == ("" if one.paper is None else one.paper)
        ours = said["measured_seconds"] if one.quantity == "seconds" else said["rate_percent"]
        assert ours == ("" if one.ours is None else pytest.approx(one.ours, abs=1e-3))


def test_the_four_outcomes_differ_in_more_than_colour() -> None:
    claim = Claim("one", "5.1", "Ours.", "Below 20%.", "Theirs <1>.")
    drawn = {
        outcome: verdict_html(Verdict(claim, outcome, numbers={"badnets": {"ASR, %": 1.0}})) for outcome in OUTCOMES
    }
    marks = {
        outcome: re.findall(r'class="ts-verdict (\w+)".*aria-hidden="true">(.)<', drawn[outcome])[0]
        for outcome in drawn
    }
    assert len({kind for kind, _ in marks.values()}) == len({mark for _, mark in marks.values()}) == 4
    for outcome, html in drawn.items():
        assert f"</i> {outcome}</span>" in html
        assert "“Theirs &lt;1&gt;.”" in html
        assert "Below 20%." in html
        assert "title=" not in html, "the rule can be read without pointing at it"
        assert "<b>BadNets</b> ASR 1.0%" in html
    borders = re.findall(r"\.ts-verdict\.(\w+) \{[^}]*?(?:border-left-style: (\w+))?\}", STYLE)
    assert {dict(borders)[kind] for kind, _ in marks.values()} == {"", "double", "dashed", "dotted"}


def test_a_verdict_begins_with_what_is_missing() -> None:
    verdict = Verdict(
        Claim("one", "V", "Ours.", "Below 20%.", source=WANG),
        HOLDS,
        numbers={"badnets": {}, "blended": {}},
        missing=("consistent",),
        note="`command` does it",
    )
    html = verdict_html(verdict)
    assert '<p class="outcome">Of BadNets and Blended only (Consistent is not measured): <span>' in html
    assert "<code>command</code> does it" in html
    assert "Wang et al. 2019, Sec. V, in our words" in html


def test_labels_of_attacks() -> None:
    assert attack_label("badnets") == "BadNets"
    assert attack_label("blended+max2") == "Blended+ (max2)"


def test_a_difference_of_nothing_has_no_sign_and_whole_numbers_have_a_decimal() -> None:
    listed = [
        number(defense=spec, paper=paper, ours=ours)
        for spec, paper, ours in (("flip", 82.0, 81.96), ("shrinkpad:4", 82.3, 83.4))
    ]
    html = tinted(number_table(listed, "cifar10")).to_html()  # type: ignore[attr-defined]
    texts = re.findall(r">([^<>]*)</td>", html)
    assert "-0.0" not in texts
    assert {"82.0", "0.0", "+1.1"} <= set(texts)
    assert "82" not in texts


def charts(name: str, **query: str) -> list[object]:
    """The traces of every figure of a page; their names may say more of a model than its attack."""
    every = [json.loads(chart.proto.spec)["data"] for chart in page(name, model=KEY, **query).get("plotly_chart")]
    words = ("name", "customdata", "legendgroup")
    return [[{part: trace[part] for part in trace if part not in words} for trace in traces] for traces in every]


def test_figures_1_and_13_are_the_same_on_their_own_pages_and_here() -> None:
    """One function draws each; of the reference models, both pages show the same."""
    shown = charts("paper", view="figures")
    cost, enhanced = charts("defenses", part="cost"), charts("enhanced")[:2]
    assert (len(cost), len(enhanced)) == (1, 2)
    for figure in (*cost, *enhanced):
        assert figure in shown
