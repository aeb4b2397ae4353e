"""The paper's statements with our verdicts, the rule of each, and the numbers that decide it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import streamlit as st

from core.paper.claims import Verdict
from core.paper.claims.base import FAILS, HOLDS, LI, MIXED, NOT_MEASURED, label_of, reading

__all__ = ["RULE", "draw_verdicts", "verdict_html"]

# Told apart by words, mark and frame as well, so that colour is never needed.
MARKS = {HOLDS: ("✓", "holds"), FAILS: ("✕", "fails"), MIXED: ("◐", "mixed"), NOT_MEASURED: ("?", "open")}
RULE = (
    "Every comparison is decided by the less favourable end of the 95% interval; what is within its uncertainty of a "
    "bound is left open. *Mixed*: it holds for some of what was measured and not for the rest, or something is open."
)


def draw_verdicts(title: str, verdicts: Iterable[Verdict]) -> None:
    """Every statement as its source puts it, our rule, the numbers that decide it, and the verdict.

    What others say than the paper comes last, under its own heading.
    """
    shown = sorted(verdicts, key=lambda verdict: verdict.claim.source != LI)
    for source in dict.fromkeys(verdict.claim.source for verdict in shown):
        of_source = [verdict for verdict in shown if verdict.claim.source == source]
        st.markdown(f"### {title}" if source == LI else f"#### Not of the paper: {source}")
        if of_source[0] is shown[0]:
            st.caption(RULE)
        st.html(STYLE + "".join(map(verdict_html, of_source)))


def verdict_html(verdict: Verdict) -> str:
    """One statement as HTML: left what is said and our rule, right the verdict and its numbers."""
    claim, (mark, kind) = verdict.claim, MARKS[verdict.outcome]
    statement = f"“{escape(claim.quote)}”" if claim.quote else escape(claim.text)
    words = "" if claim.quote else ", in our words"
    only = f"{escape(verdict.only)}: " if verdict.only else ""
    why = f'<p class="why">{_code(verdict.why)}</p>' if verdict.why else ""
    return (
        f'<section class="ts-verdict {kind}"><div><blockquote>{statement}</blockquote>'
        f'<p class="where">{escape(claim.where)}{words}</p>'
        f'<p class="rule"><b>Our rule:</b> {escape(claim.rule)}</p></div>'
        f'<div><p class="outcome">{only}<span><i aria-hidden="true">{mark}</i> {escape(verdict.outcome)}</span></p>'
        f"{why}{_numbers(verdict)}</div></section>"
    )


def _numbers(verdict: Verdict) -> str:
    lines = [
        f"<li><b>{escape(label_of(attack))}</b> "
        f"{escape(', '.join(reading(name, value) for name, value in numbers.items()))}</li>"
        for attack, numbers in verdict.numbers.items()
    ]
    return f"<ul>{''.join(lines)}</ul>" if lines else ""


def _code(text: str) -> str:
    """Text whose commands stand between backquotes."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


STYLE = """
<style>
.ts-verdict {display: grid; grid-template-columns: minmax(0, 9fr) minmax(0, 11fr); gap: .2rem 1.6rem;
  padding: .7rem 0 .7rem .9rem; border-left: .3rem solid var(--ts-tone); margin-bottom: .6rem}
.ts-verdict.holds {--ts-tone: #1a8754}
.ts-verdict.fails {--ts-tone: #c8384a; border-left-style: double}
.ts-verdict.mixed {--ts-tone: #b8860b; border-left-style: dashed}
.ts-verdict.open {--ts-tone: #80868b; border-left-style: dotted}
.ts-verdict blockquote {margin: 0 0 .2rem; padding: 0; border: 0; font-style: italic; opacity: 1}
.ts-verdict p, .ts-verdict ul {margin: 0 0 .3rem; font-size: .875rem; line-height: 1.4}
.ts-verdict blockquote {font-size: 1rem; line-height: 1.4}
.ts-verdict .where {opacity: .75}
.ts-verdict .outcome {font-size: 1rem}
.ts-verdict .outcome span {display: inline-block; padding: .05rem .55rem; border: 1px solid var(--ts-tone);
  border-radius: .4rem; font-weight: 600}
.ts-verdict .outcome i {font-style: normal; color: var(--ts-tone)}
.ts-verdict.holds .outcome span {background: color-mix(in srgb, var(--ts-tone) 22%, transparent)}
.ts-verdict.fails .outcome span {background: color-mix(in srgb, var(--ts-tone) 22%, transparent)}
.ts-verdict.mixed .outcome span {background: color-mix(in srgb, var(--ts-tone) 22%, transparent)}
.ts-verdict.open .outcome span {border-style: dashed}
.ts-verdict ul {padding-left: 1.1rem}
.ts-verdict code {font-size: .8rem}
@media (max-width: 640px) {.ts-verdict {grid-template-columns: minmax(0, 1fr)}}
</style>
"""
