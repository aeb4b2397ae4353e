"""The map of attacks against transformations: its numbers are the stored ones, and its cells lead to the live page."""

from __future__ import annotations

import re
import shutil
from urllib.parse import parse_qs, urlsplit

from pages import _alone, page

from core.store.local import DEFAULT_ROOT, Store
from core.sweeps.results import StoredResults
from core.transforms import transform_from_spec
from dashboard.server.subjects import Subject, subjects
from dashboard.tables.attack_map import attack_map, attacked_models, map_html

__all__ = ["_alone"]  # the fixture that keeps data and cache away
MAIN = "shapes10/resnet20/badnets"


def test_every_attacked_model_is_a_row_and_every_cell_is_what_is_stored():
    found, _ = subjects()
    listed = attacked_models(found.values(), found[MAIN])
    titles = [subject.attack.title for subject in listed]
    assert {"badnets", "blended+", "badnets+max8"} <= set(titles)
    assert not {"benign", "robust"} & set(titles)
    assert titles.index("consistent") < titles.index("badnets+"), "standard attacks come first"
    cells = attack_map(listed)
    stored = StoredResults(Store().checkpoint("shapes10/resnet20/blended+"))
    row = cells["shapes10/resnet20/blended+"]["ShrinkPad-4"]
    assert row.success == stored.strength("shrinkpad").at(4).success
    assert row.transform == transform_from_spec("shrinkpad:4").steps[0]


def test_a_cell_links_to_its_model_behind_its_transformation():
    found, _ = subjects()
    html = map_html(attack_map([found["shapes10/resnet20/badnets+"]]))
    links = [parse_qs(urlsplit(link.replace("&amp;", "&")).query) for link in re.findall(r'href="([^"]*)"', html)]
    assert {"model": ["shapes10/resnet20/badnets+"]} in links
    assert {"model": ["shapes10/resnet20/badnets+"], "before": ["shrinkpad:8"]} in links


def test_without_weights_a_cell_links_to_the_curve_that_it_is_of(tmp_path):
    key = "shapes10/resnet20/badnets+"
    shutil.copytree(DEFAULT_ROOT / key, tmp_path / key, ignore=shutil.ignore_patterns("*.safetensors"))
    checkpoint = Store(tmp_path).checkpoint(key)
    html = map_html(attack_map([Subject(checkpoint, checkpoint.card())]))
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="([^"]*)"', html)]
    query = {"model": [key], "defense": ["shrinkpad"], "shrinkpad-strength": ["8"]}
    assert query in [parse_qs(urlsplit(link).query) for link in links if link.startswith("defenses?")]
    assert not any("before" in link for link in links)


def test_the_page_has_the_map_and_a_link_of_it_opens_what_it_says():
    test = page("enhanced", model=MAIN)
    assert not test.exception
    (drawn,) = [html.proto.body for html in test.get("html") if "ts-attacks" in html.proto.body]
    link = next(link for link in re.findall(r'href="location\?([^"]*)"', drawn) if "noise" in link)
    query = {name: values[0] for name, values in parse_qs(link.replace("&amp;", "&")).items()}
    opened = page("location", **query)
    assert not opened.exception
    assert not opened.warning
