"""Page *Paper against measured*: every number and statement of the paper beside ours."""

from __future__ import annotations

import shlex
from functools import partial

import plotly.graph_objects as go
import streamlit as st

from core.models import models
from core.paper.claims.base import FAILS, MIXED, NOT_MEASURED
from core.paper.comparison import Number, compared
from core.paper.constants import PAPER_MODELS
from core.paper.results import Results
from dashboard.figures.paper import ablation_gaps, paper_figure
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import number_rows
from dashboard.server.resources import results_of, results_of_network
from dashboard.server.subjects import Subject, subjects
from dashboard.state.session import Choice, one_of
from dashboard.tables.claims import draw_verdicts
from dashboard.tables.networks import Standing, most_measured, standings_table
from dashboard.tables.paper import FAR, number_table, tinted
from dashboard.widgets.controls import choose, one_sentence
from dashboard.widgets.page_head import begin, read_link, say
from dashboard.widgets.save_menu import PLOT_CONFIG, csv_button, downloads
from dashboard.words.answers import paper_answer
from dashboard.words.escaping import plain

EXPLANATION = """
The paper's tables, and its figures with results, beside what was measured here, for the network of the chosen model:
its **numbers**, tinted by how far ours are from the paper's, and its **statements** in its own words, each with our
rule and the numbers that decide it. None of our numbers is typed in: they are read from the results stored beside the
models, and *Live* leads to the page that shows where a number comes from.
"""
OTHER_OUTCOMES = {MIXED: "mixed", FAILS: "do not hold", NOT_MEASURED: "not measured here"}
PARTS = {"claims": "Statements", "tables": "Tables", "figures": "Figures"}
PREFIXES = {"tables": ("table", "sec"), "figures": ("fig",)}
PART: Choice[str] = Choice("view", "claims", one_of(PARTS))
TITLES = {
    "table1": "Table 1: attacks under defenses",
    "table2": "Table 2: seconds that a defense takes",
    "table3": "Table 3: Gaussian noise",
    "table4": "Table 4: colour shifts",
    "table5": "Table 5: enhanced attacks",
    "fig1": "Fig. 1: seconds against what is left of the attack",
    "fig4": "Fig. 4: the trigger's location",
    "fig5": "Fig. 5: the trigger's appearance",
    "fig10": "Fig. 10: saliency inside the trigger",
    "fig11": "Fig. 11: photographs of printed images, simulated",
    "fig12": "Fig. 12: photographs of other pictures, simulated",
    "fig13": "Fig. 13: enhanced attacks under ShrinkPad",
    "fig14": "Fig. 14: other largest shrink sizes in training",
    "sec5.3": "Sec. 5.3: only poisoned images transformed in training, and black edges alone",
}


@one_sentence
def show() -> None:
    """Draws the page."""
    session, answer = begin("Paper against measured", EXPLANATION)
    chosen = choose(session, compare=False, repaired=False, opened=most_measured)
    if chosen is None:
        return
    read_link(session, PART)
    main = chosen.main
    results = results_of(main)
    numbers, verdicts = compared(results), results.verdicts()
    st.markdown(f"### {models[main.card.model].label}, {main.dataset_label}")
    own = Standing.of(results.model, numbers, verdicts)
    say(answer, paper_answer(own.holding, own.judged, own.near, own.measured))
    columns = st.columns(3)
    columns[0].metric("Statements that hold", f"{own.holding} of {own.judged}")
    others = {words: own.outcomes.get(kind, 0) for kind, words in OTHER_OUTCOMES.items()}
    columns[0].caption(", ".join(f"{count} {words}" for words, count in others.items() if count))
    columns[1].metric("Rates of the paper measured", f"{own.measured} of {own.there}")
    columns[2].metric("Within 5 points of the paper", f"{own.near} of {own.measured}")
    _draw_networks(main, own)
    if main.card.model not in PAPER_MODELS or main.card.dataset != "cifar10":
        labels = " and ".join(models[name].label for name in PAPER_MODELS)
        st.caption(
            f"The paper's numbers are for {labels} on CIFAR-10, so these need not agree; its statements should hold."
        )
    st.segmented_control(
        "Part", list(PARTS), format_func=lambda part: PARTS[part], required=True, label_visibility="collapsed",
        **session.widget(PART),
    )  # fmt: skip
    if session.get(PART) == "claims":
        draw_verdicts("The paper's statements", verdicts)
    else:
        _draw_numbers(main, results, numbers, PREFIXES[session.get(PART)])
    session.write_link()


def _draw_networks(main: Subject, own: Standing) -> None:
    """How far each network agrees with the paper, where more than one was measured on these data."""
    dataset = main.key.split("/")[0]
    names = dict.fromkeys(key.split("/")[1] for key in subjects()[0] if key.startswith(f"{dataset}/"))
    others = [results_of_network(dataset, name) for name in names if name != own.model]
    standings = [Standing.of(other.model, compared(other), other.verdicts()) for other in others]
    table = standings_table([own, *standings])
    if len(table) > 1:
        st.dataframe(table, hide_index=True, width="stretch")


def _draw_numbers(main: Subject, results: Results, numbers: list[Number], part: tuple[str, ...]) -> None:
    """Table by table, or figure by figure: those whose names begin with one of some texts."""
    dataset = main.key.split("/")[0]
    numbers = [number for number in numbers if number.table.startswith(part)]
    for name, title in TITLES.items():
        if not name.startswith(part):
            continue
        own, figure = [number for number in numbers if number.table == name], paper_figure(name, results)
        st.markdown(f"#### {title}")
        if figure is None and not any(number.ours is not None for number in own):
            command = shlex.join(main.reproducing(name))
            st.info(f"Nothing of it is measured yet; make it with: `{command}`")
            continue
        place = st.container()
        if figure is not None:
            drawn, place = st.columns([10, 13], gap="medium") if own else (place, place)
            with drawn:
                st.plotly_chart(figure, key=f"paper-{name}", config=PLOT_CONFIG, width="stretch")
                file = file_name(f"paper-{name}", Source.of(main).all_attacks())
                downloads(file, partial(number_rows, own, results), partial(go.Figure, figure))
                if name == "fig14" and (gaps := ablation_gaps(results)):
                    st.caption(plain(gaps))
        if not own:
            continue
        place.dataframe(
            tinted(number_table(own, dataset)),
            hide_index=True,
            width="stretch",
            placeholder="",
            column_config={"Live": st.column_config.LinkColumn("Live", display_text="show", width="small")},
        )
    caption, tools = st.columns([4, 1], vertical_alignment="center")
    caption.caption(
        f"Tinted by the difference from the nearer of the paper's numbers, fully from {FAR:g} points on. A number that "
        "the text copy of the paper used here lacks, or that was not measured, is empty."
    )
    with tools:
        csv_button(file_name("paper", Source.of(main).all_attacks()), lambda: number_rows(numbers, results))
