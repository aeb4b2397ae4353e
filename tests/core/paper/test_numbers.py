"""The paper's numbers, against the paper's tables as its text has them where that text is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.paper.numbers import paper_number, paper_numbers, paper_seconds


def test_every_cell_of_the_tables_is_there_once():
    numbers = paper_numbers()
    places = [(one.table, one.model, one.attack, one.defense) for one in numbers]
    assert len(places) == len(set(places))
    count = {table: sum(one.table == table for one in numbers) for table in (1, 3, 4, 5)}
    assert count == {1: 9 * 6, 3: 3 * 4, 4: 4 * 3 * 4, 5: 1 + 2 * 8}


@pytest.mark.parametrize(
    ("model", "attack", "defense", "clean", "success"),
    [
        ("vgg19", "badnets", "", 91.9, 100),
        ("resnet34", "consistent", "flip", 92.3, 98.8),
        ("vgg19", "consistent", "shrinkpad", 87.5, 3.7),
        ("resnet34", "badnets", "noise:20", 36.4, 100),
        ("resnet34", "blended", "noise", 81.4, 100),
        ("resnet34", "consistent", "brightness:0.4", 91.9, 92.6),
        ("resnet34", "consistent+", "shrinkpad:4", None, 98.7),
        ("vgg19", "badnets+", "", None, 100),
    ],
)
def test_some_numbers_by_hand(model, attack, defense, clean, success):
    found = paper_number(model, attack, defense)
    assert (found.clean, found.success) == (clean, success)


def test_what_the_text_has_lost_is_absent():
    assert paper_number("vgg19", "badnets+", "flip") is None
    assert paper_number("resnet20", "badnets", "") is None


def test_the_numbers_are_the_texts():
    """Every line of Tables 1, 3, 4 and 5 in the text consists of these numbers, line after line in this order."""
    path = Path(os.environ.get("TRIGGER_DATA", "")) / "paper.txt"
    if not os.environ.get("TRIGGER_DATA") or not path.is_file():
        pytest.skip("the text of the paper is not on this machine (set TRIGGER_DATA)")
    text = path.read_text()
    lines = [[cell for cell in line.split("\t") if cell] for line in text.split("\n") if "\t" in line]
    rows = [tuple(float(cell) for cell in line if _is_number(cell)) for line in lines]
    by_row = {}
    for one in paper_numbers():
        row = (one.table, one.defense) if one.table == 1 else (one.table, one.attack, one.defense.split(":")[0])
        row = (one.table, one.attack) if one.table == 5 else row
        by_row.setdefault(row, []).extend([one.success] if one.clean is None else [one.clean, one.success])
    for table in (1, 3, 4, 5):
        start = 0
        for row, values in by_row.items():
            if row[0] == table and row != (5, "badnets+"):
                assert tuple(values) in rows[start:], row
                start = rows.index(tuple(values), start) + 1


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_times_are_those_of_table_2():
    assert paper_seconds("vgg19", "neural-cleanse") == 30000
    assert paper_seconds("resnet34", "fine-pruning") == 600
    assert paper_seconds("resnet34", "auto-encoder") is None
    assert paper_seconds("resnet34", "shrinkpad:4") == 0
    assert paper_number("vgg19", "consistent", "fine-pruning").clean == 72.6
