"""The paper's statements with our verdicts, and the numbers that decide them."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from core import formatting
from core.claims import Verdict
from dashboard.against import attack_label

__all__ = ["draw_verdicts"]

VERDICTS = {True: ":material/check_circle: holds", False: ":material/cancel: does not hold", None: "not decided yet"}


def draw_verdicts(title: str, verdicts: Iterable[Verdict]) -> None:
    """Every statement with its verdict, the numbers below it, and the rule on its question mark."""
    st.markdown(f"### {title}")
    for verdict in verdicts:
        st.markdown(
            f"**{VERDICTS[verdict.holds]}** · {verdict.claim.text} · Sec. {verdict.claim.section}",
            help=verdict.claim.rule,
        )
        lines = []
        for attack, numbers in verdict.numbers.items():
            shown = (f"{name.removesuffix(', %')} {_number(name, value)}" for name, value in numbers.items())
            lines.append(f"**{attack_label(attack)}** {', '.join(shown)}")
        if verdict.missing:
            lines.append(f"not measured: {', '.join(attack_label(name) for name in verdict.missing)}")
        st.caption("  \n".join(lines))


def _number(name: str, value: float) -> str:
    return formatting.number(value) + " %" * name.endswith(", %")
