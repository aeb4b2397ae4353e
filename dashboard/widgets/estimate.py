"""How long a training will take: from what was measured on this machine, or measured when somebody asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import streamlit as st

from core import formatting
from core.data import cache_folder
from core.runtime.device import select_device
from core.training.speeds import known_speed
from core.training.step import pays
from core.training.throughput import Estimate
from core.training.trainer import Plan
from core.workers.process import in_process
from dashboard.server.jobs import Job
from dashboard.server.resources import jobs
from dashboard.server.scheduler import waiting_file
from dashboard.state.session import Session
from dashboard.widgets.controls import progress_bar
from dashboard.words.escaping import plain

__all__ = ["draw_estimate", "duration"]


def draw_estimate(session: Session, plan: Plan, images: int, shape: tuple[int, int, int]) -> None:
    """Says how long a training will take, at the speed that was measured last, and offers to measure it.

    Nothing is computed before that is asked for.

    Args:
        session: Who looks.
        plan: What would be trained.
        images: Images of its training set.
        shape: Channels, height and width of one.
    """
    device = select_device()
    recipe = plan.effective_recipe
    try:
        plan.attack.check_target(len(plan.dataset.classes))
    except ValueError as error:
        st.error(f"This cannot be trained: {plain(error)}")
        return
    compiled = pays(plan.model, recipe, images, device)
    speed = known_speed(plan.model, plan.attack, recipe, shape, device, compiled=compiled)
    if speed is not None:
        st.markdown(
            f"**About {duration(recipe.epochs * images / speed.images_per_second)}**: {recipe.epochs} epochs of "
            f"{images:,} images at {speed.images_per_second:,.0f} images a second, as measured on this machine on "
            f"{speed.day}."
        )
    else:
        st.markdown("How long it will take on this machine has not been measured yet.")
    described = {**plan.to_dict(), "recipe": {"name": plan.recipe_name, "params": recipe.to_dict()}}
    question = json.dumps([described, images], sort_keys=True)
    if st.session_state.get("estimate-asked") != question:
        help_text = "A few steps are trained, and nothing of them is kept but their speed: up to a few minutes."
        jobs().leave(session.identity)
        if st.button("Time a few steps", icon=":material/timer:", help=help_text):
            st.session_state["estimate-asked"] = question
            st.session_state["estimate-run"] = uuid4().hex
            st.rerun()
        return
    job: Job[Estimate] = jobs().request(
        ("estimate", question, st.session_state["estimate-run"]),
        Estimate,
        partial(_estimate_elsewhere, described, images),
        session.identity,
        heavy=False,
        cached=False,
    )
    jobs().leave(session.identity, (job,))
    if why := job.snapshot().reason:
        st.error(f"This cannot be trained: {plain(why)}")
        return
    _draw_timing(job)


def _draw_timing(job: Job[Estimate]) -> None:
    """How far the timing is; when it has ended, the page says the speed."""

    @st.fragment(key="estimate", run_every=0.5)
    def timing() -> None:
        snapshot = job.snapshot()
        if not snapshot.running:
            if not snapshot.error:
                st.session_state["estimate-asked"] = None
            st.rerun()
        note = "its first steps, which are not timed" if snapshot.done == 0 else "timing steps"
        progress_bar(snapshot.done, [job], "stop-estimate", f"{note}, {snapshot.seconds:.0f} s")

    timing()


def _estimate_elsewhere(plan: dict[str, Any], images: int) -> Iterator[Estimate]:
    """Times steps of a training in a process of its own, one at a time on this machine."""
    arguments = {"plan": plan, "images": images}
    alone = cache_folder() / "estimate.lock"
    function = "core.training.throughput:estimate_plan"
    return in_process(function, arguments, Estimate(0, 0, 0), alone=alone, courtesy=waiting_file())


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{formatting.number(seconds / 3600)} hours"
