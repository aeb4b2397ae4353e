"""Selections, links and what happens to nonsense in them."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.state.session import integer_in, one_of

SCRIPT = """
import streamlit as st
from dashboard.state.session import Choice, Session, integer_in, one_of

session = Session()
value = Choice("value", 128, integer_in(0, 255))
name = Choice("name", "a", one_of(["a", "b"]))
st.slider("value", 0, 255, **session.widget(value))
st.text(f"{session.get(value)} {session.get(name)}")
if st.button("set"):
    session.set(name, "b")
for complaint in session.complaints():
    st.warning(complaint)
session.write_link()
"""


def run(**query: str) -> AppTest:
    test = AppTest.from_string(SCRIPT)
    for name, text in query.items():
        test.query_params[name] = text
    return test.run()


def link(test: AppTest) -> dict[str, str]:
    """The link's parameters; AppTest keeps some as texts, some as lists of one."""
    values = {name: test.query_params[name] for name in test.query_params}
    return {name: value if isinstance(value, str) else value[0] for name, value in values.items()}


def test_defaults_stay_out_of_the_link() -> None:
    test = run()
    assert test.text[0].value == "128 a"
    assert link(test) == {}


def test_a_link_is_taken_and_kept() -> None:
    test = run(value="7", name="b")
    assert test.text[0].value == "7 b"
    assert link(test) == {"value": "7", "name": "b"}


def test_what_a_page_asks_before_a_restored_address_is_shown_chooses_nothing() -> None:
    test = run(value="7")
    back = {"restored": "1", "value": "9"}
    for name, text in back.items():
        test.query_params[name] = text
    test.run()
    assert test.text[0].value == "9 a"
    assert link(test) == {"value": "9"}
    for name, text in back.items():  # asked by a timer, with what the page that was left showed
        test.query_params[name] = text
    test.slider(key="choice-value").set_value(7).run()
    assert test.text[0].value == "9 a"
    assert test.slider(key="choice-value").value == 9
    assert link(test) == {"value": "9"}
    test.slider(key="choice-value").set_value(7).run()
    assert test.text[0].value == "7 a", "chosen on the restored page"


def test_a_widget_changes_value_and_link() -> None:
    test = run(name="b")
    test.slider(key="choice-value").set_value(9).run()
    assert test.text[0].value == "9 b"
    assert link(test)["value"] == "9"
    test.slider(key="choice-value").set_value(128).run()
    assert link(test) == {"name": "b"}


def test_nonsense_is_refused_once_in_one_sentence() -> None:
    test = run(value="1000", name="c")
    assert test.text[0].value == "128 a"
    assert [warning.value for warning in test.warning] == [
        "The link says value = '1000'; allowed is an integer from 0 to 255. The default is shown instead.",
        "The link says name = 'c'; allowed is one of a, b. The default is shown instead.",
    ]
    assert not test.run().warning


def test_going_back_to_an_address_selects_what_it_names_and_nothing_else() -> None:
    test = run(value="7", name="b")
    test.query_params.clear()
    test.query_params["value"] = "9"
    test.query_params["restored"] = "1"
    test.run()
    assert test.text[0].value == "9 a"
    assert test.slider(key="choice-value").value == 9
    assert link(test) == {"value": "9"}, "the mark is not in the link"
    # The same mark once more is a message that was on its way; what was chosen since then stays.
    test.slider(key="choice-value").set_value(5)
    test.query_params["restored"] = "1"
    test.run()
    assert test.text[0].value == "5 a"


def test_an_address_without_a_mark_is_only_late() -> None:
    test = run(value="7")
    test.slider(key="choice-value").set_value(5).run()
    test.query_params["value"] = "7"
    assert test.run().text[0].value == "5 a"
    assert link(test) == {"value": "5"}


def test_what_another_page_selected_is_kept_on_the_way_back() -> None:
    script = SCRIPT.replace(
        "value = Choice", 'other = st.session_state.get("page") == "other"\nvalue = Choice'
    ).replace("{session.get(name)}", "{session.get(name) if other else '-'}")
    test = AppTest.from_string(script)
    test.session_state["page"] = "other"
    test.query_params["name"] = "b"
    test.run()
    assert test.text[0].value == "128 b"
    test.session_state["page"] = "this"
    test.query_params.clear()
    test.query_params["value"] = "9"
    test.query_params["restored"] = "1"
    assert test.run().text[0].value == "9 -"
    test.session_state["page"] = "other"
    assert test.run().text[0].value == "9 b"


def test_a_choice_that_differs_between_machines_is_always_in_the_link() -> None:
    script = SCRIPT.replace(
        'one_of(["a", "b"]))',
        'one_of(["a", "b"]), always=True, instead=lambda text, shown: f"no {text}; {shown} is shown instead.")',
    )
    test = AppTest.from_string(script).run()
    assert link(test) == {"name": "a"}
    test = AppTest.from_string(script)
    test.query_params["name"] = "c"
    assert [warning.value for warning in test.run().warning] == ["no c; a is shown instead."]
    assert link(test) == {"name": "a"}


def test_a_long_value_is_cut() -> None:
    (warning,) = run(value="9" * 5000).warning
    assert len(warning.value) < 200


@pytest.mark.parametrize("text", ["", "x", "1.5", "-1", "256", "9" * 5000])
def test_integers_out_of_range_or_shape(text: str) -> None:
    with pytest.raises(ValueError, match="an integer from 0 to 255"):
        integer_in(0, 255)(text)


def test_a_plus_that_was_typed_is_one() -> None:
    parse = one_of(["badnets", "badnets+max2", "my images"])
    assert [parse(text) for text in ("badnets max2", "badnets+max2", "my images")] == [
        "badnets+max2", "badnets+max2", "my images",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"one of badnets, badnets\+max2"):
        parse("badnets ")


def test_one_of_nothing() -> None:
    with pytest.raises(ValueError, match="nothing"):
        one_of([])("a")


def test_widgets_are_given_their_values_until_the_browser_shows_them() -> None:
    """A run may be given up for another one, or not be sent; a new widget would show its lowest value."""
    test = AppTest.from_string(
        """
import streamlit as st
from dashboard.state.session import Choice, Session, arriving, integer_in

name = st.session_state.get("name", "first")
with arriving(name):
    session = Session()
    if st.session_state.pop("give up", False):
        st.rerun()
    st.slider("value", 0, 255, **session.widget(Choice("value", 128, integer_in(0, 255))))
    session.write_link()
"""
    )
    test.query_params["value"] = "7"
    assert test.run().slider[0].proto.set_value
    assert not test.run().slider[0].proto.set_value
    test.session_state["name"], test.session_state["give up"] = "second", True
    assert test.run().slider[0].proto.set_value
    assert not test.run().slider[0].proto.set_value
    test.query_params["restored"] = "1"
    assert test.run().slider[0].proto.set_value
    test.query_params["restored"] = "1"  # what was drawn has not come to the browser
    assert test.run().slider[0].proto.set_value
    assert not test.run().slider[0].proto.set_value
    assert test.slider[0].value == 7
