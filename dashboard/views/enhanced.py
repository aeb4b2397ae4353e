"""Page *Enhanced attacks*: how an attacker gets past transformations (Sec. 4.2; Table 5; Fig. 6, 13, 14)."""

from __future__ import annotations

import shlex
from dataclasses import replace
from html import escape

import numpy as np
import pandas as pd
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from core import formatting
from core.attacks import Enhanced, attacks
from core.attacks.consistent import Consistent
from core.attacks.pgd import Surrogate
from core.models import models
from core.paper.claims.base import label_of
from core.paper.constants import ATTACKS, SHRINKPAD_LABEL, STANDARD, TABLE_5, paper_networks
from core.reproduction.alpha_study import read_study, smallest_alpha
from core.runtime.seeding import generator_for
from core.store.card_images import same_kind
from core.transforms import transform_from_spec
from core.trigger import stamp
from dashboard.figures.html import data_url
from dashboard.figures.paper import Drawn, ablation_gaps, paper_figure, shrink_figure
from dashboard.saving.names import Source, file_name
from dashboard.saving.tables import evaluated_rows, max_shrink_rows, strength_rows
from dashboard.server.resources import Tested, jobs, results_of, tested
from dashboard.server.subjects import Subject, store, subjects
from dashboard.state.session import Choice, Session, integer_in
from dashboard.tables.attack_map import draw_attack_map
from dashboard.tables.defenses import coloured, one_decimal
from dashboard.tables.edges import draw_edges
from dashboard.tables.rows import Evaluated, evaluated, siblings
from dashboard.widgets.controls import choose, image_choice, image_picker, one_sentence
from dashboard.widgets.download import about_data
from dashboard.widgets.live import PLACEHOLDER
from dashboard.widgets.page_head import begin, read_link, say
from dashboard.widgets.save_menu import PLOT_CONFIG, csv_button, downloads
from dashboard.words.answers import enhanced_answer
from dashboard.words.escaping import plain

EXPLANATION = """
An attacker who expects a defense trains with it: every image, poisoned or not, goes through a **random flip** and a
**random ShrinkPad** before the model sees it, another one each time. The model then learns the trigger at many places
and at the sizes it was trained with, and the transformations that stopped the standard attack no longer do.
"""
SEED: Choice[int] = Choice("draw", 0, integer_in(0, 9999))
PICTURES = 6
COLUMNS = tuple(transform_from_spec(spec).spec for spec in TABLE_5)
# So that twelve columns fit beside the menu of a projector's screen.
NARROW = """
.st-key-table-5 [data-testid="stTable"] :is(th, td) {padding-left: .08rem; padding-right: .08rem}
.st-key-table-5 [data-testid="stTable"] th {letter-spacing: -.025em}
"""


@one_sentence
def show() -> None:
    """Draws the page."""
    session, answer = begin("Enhanced attacks", EXPLANATION)
    chosen = choose(session, compare=False, repaired=False)
    if chosen is None:
        return
    main = chosen.main
    jobs().leave(session.identity)
    data = tested(main)
    image = image_choice(data)
    read_link(session, image, SEED)
    about_data(session, main, data)
    _draw_pipeline(session, main, data, image)
    readable, _ = subjects()
    _draw_table(readable, main, answer)
    left, right = st.columns(2, gap="large")
    with left:
        _draw_shrink_sizes(readable, main)
    with right:
        _draw_max_shrink(main)
    draw_edges(readable, main, base_of(main))
    draw_attack_map(readable.values(), main)
    _draw_study(main)
    session.write_link()


def enhanced_of(subject: Subject) -> Enhanced:
    """The enhanced attack of a model: the paper's enhancement where it has none, that of BadNets for a clean model."""
    attack = subject.attack
    if subject.is_control:
        attack = attacks[STANDARD[0]](target=attack.target)
    return attack if isinstance(attack, Enhanced) else Enhanced(base=attack)


def base_of(subject: Subject) -> str:
    """Title of the standard attack of a model; that of BadNets for a clean model and for other colours of it."""
    title = enhanced_of(subject).base.title
    return title if title in ATTACKS else STANDARD[0]


def _draw_pipeline(session: Session, main: Subject, data: Tested | None, image: Choice[int]) -> None:
    """Fig. 6: one image passing through, step by step, and what the model is trained on."""
    attack = enhanced_of(main)
    st.markdown(f"### From an image to the training set: {plain(attack.label)}")
    controls, again = st.columns([4, 1.4], vertical_alignment="bottom", gap="large")
    with controls:
        if data is not None:
            image_picker(session, "Image", image, data)
    if again.button("Draw again", icon=":material/casino:", help="Another draw of the random transformation."):
        session.set(SEED, (session.get(SEED) + 1) % 10_000)
        st.rerun()
    first = _before_stamping(main, attack, data, session.get(image))
    st.html(pipeline(first, attack, session.get(SEED), main.target_name))


def _before_stamping(main: Subject, attack: Enhanced, data: Tested | None, index: int) -> list[tuple[str, Tensor]]:
    """The pictures ahead of the stamp: an image, and with adversarial noise where the attack begins with that."""
    if data is None:
        return [("benign image", torch.full(main.card.shape, PLACEHOLDER))]
    # The Consistent Attack poisons images of the target class only, and leaves them their label.
    own = (data.clean.labels == attack.target).nonzero().squeeze(1)
    if not isinstance(attack.base, Consistent) or len(own) == 0:
        return [("benign image", data.images[index])]
    chosen = data.clean.subset(own[index % len(own)][None])
    stages = [(f"benign image of “{main.target_name}”", chosen.floats()[0])]
    surrogate = store().beside(main.card.dataset, attack.base.surrogate)
    if surrogate.has_weights and same_kind(surrogate.card(), main.card):
        victim = Surrogate(surrogate.model(), surrogate.card().weights, torch.device("cpu"))
        with jobs().turnstile.interactive():
            noisy = victim.perturb(chosen.images, chosen.labels, attack.base.settings)
        stages.append((f"adversarial noise, {attack.base.epsilon:g}/255", noisy[0].float() / 255))
    return stages


def pipeline(first: list[tuple[str, Tensor]], attack: Enhanced, seed: int, target: str) -> str:
    """HTML of one image that is stamped, transformed step by step, and comes out many ways.

    Args:
        first: What the image is before it is stamped, step by step: names and pictures ``(C, H, W)`` in [0, 1].
        attack: What is stamped, and the random transformation layer.
        seed: Seed of its draws.
        target: Name of the target class.
    """
    image = first[-1][1]
    layer, shape = attack.enhancement.layer, (image.shape[0], image.shape[1], image.shape[2])
    stamped = stamp(image[None], attack.trigger(shape)).expand(PICTURES, -1, -1, -1).clone()
    generator = generator_for(seed, "pipeline")
    current, after = stamped, []
    for stage in layer.stages:
        current = stage(current, generator)
        after.append((stage.label, current))
    # Of the draws at the end, the one that changes most is followed: another might be no change at all.
    followed = int((current - stamped).abs().sum((1, 2, 3)).argmax())
    stages = [*first, ("trigger stamped (Eq. 1)", stamped[0])]
    stages += [(name, pictures[followed]) for name, pictures in after]
    picture = '<figure><img src="{}" alt="{}"><figcaption>{}</figcaption></figure>'
    row = '<span class="arrow" aria-hidden="true">→</span>'.join(
        picture.format(data_url(pixels), escape(name), escape(name)) for name, pixels in stages
    )
    many = "".join(f'<img src="{data_url(pixels)}" alt="one more draw">' for pixels in current)
    return (
        f'{STYLE}<div class="ts-pipe" data-seed="{seed}">{row}<span class="arrow" aria-hidden="true">→</span>'
        f'<figure class="many"><div>{many}</div><figcaption>trained as “{escape(target)}”, '
        f"drawn anew each time it is seen (Eq. 9)</figcaption></figure></div>"
    )


STYLE = """
<style>
.ts-pipe {display: flex; align-items: flex-start; gap: .5rem; margin: .2rem 0 .6rem}
.ts-pipe figure {margin: 0; flex: 1 1 0; min-width: 0; max-width: 9rem; font-size: .875rem; line-height: 1.3}
.ts-pipe figure > img {width: 100%; aspect-ratio: 1; image-rendering: pixelated; border-radius: .25rem; display: block}
.ts-pipe figure.many {flex: 1.6 1 0; max-width: 14.4rem}
.ts-pipe .many div {display: grid; grid-template-columns: repeat(3, 1fr); gap: .4rem}
.ts-pipe .many img {width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated;
  border-radius: .2rem; display: block}
.ts-pipe figcaption {margin-top: .3rem; opacity: .8}
.ts-pipe .arrow {font-size: 1.6rem; opacity: .5; margin-top: 1.6rem}
@media (max-width: 640px) {
  .ts-pipe {flex-direction: column; align-items: center; gap: .1rem}
  .ts-pipe figure, .ts-pipe figure.many {flex: none; width: 11rem; max-width: none; text-align: center}
  .ts-pipe .arrow {transform: rotate(90deg); margin: 0; line-height: 1.2}
}
</style>
"""


def _draw_table(readable: dict[str, Subject], main: Subject, answer: DeltaGenerator) -> None:
    """Table 5: attack success without defense and under three, standard against enhanced."""
    st.markdown(f"### Standard against enhanced (Table 5): {models[main.card.model].label}, {main.dataset_label}")
    listed = siblings(readable, main)
    rows = [
        row
        for row in evaluated(listed, ("flip", "shrinkpad"))
        if (row.transform.spec if row.transform else "") in COLUMNS
    ]
    say(answer, enhanced_answer(rows, base_of(main)))
    if not rows:
        command = f"python scripts/sweep.py strength --checkpoint {'/'.join(main.key.split('/')[:2])}/badnets+"
        st.info(f"Nothing is stored for these attacks yet; measure it with: `{command}`")
        return
    table = table_5(rows)
    st.html(f"<style>{NARROW}</style>")
    with st.container(key="table-5"):
        st.table(coloured(table), width="stretch")
    widest = max(row.success.interval[1] - row.success.interval[0] for row in rows)
    images = sorted({row.success.total for row in rows})
    caption, tools = st.columns([4, 1], vertical_alignment="center")
    caption.caption(
        f"Attack success rate in percent, of {' to '.join(map(str, images))} images; the widest 95% interval is "
        f"±{formatting.percent(widest / 2)} points. The paper's numbers are for CIFAR-10; those that the text copy of "
        "the paper used here lacks are empty."
    )
    with tools:
        csv_button(file_name("enhanced", Source.of(main).all_attacks()), lambda: evaluated_rows(rows))
    missing = [title for title in ATTACKS if title not in {subject.attack.title for subject in listed}]
    if missing:
        st.caption(f"Not trained here: {formatting.listed(map(label_of, missing))}.")


def table_5(rows: list[Evaluated]) -> pd.DataFrame:
    """One row per attack; ours under each defense, then the paper's by network, in percent."""
    networks = dict.fromkeys(name for row in rows for name in paper_networks(row.subject.card.model))
    groups = {"Measured": "", **{f"Paper, {models[model].label}": model for model in networks}}
    attacks = list(dict.fromkeys(row.subject.label for row in rows))
    defenses = list(dict.fromkeys(row.label for row in rows))
    columns = pd.MultiIndex.from_tuples([(group, defense) for group in groups for defense in defenses])
    table = pd.DataFrame(np.nan, index=pd.Index(attacks, name="Attack"), columns=columns)
    for row in rows:
        for group, model in groups.items():
            number = row.paper.get(model)
            value = 100 * row.success.value if not model else number.success if number else np.nan
            table.loc[row.subject.label, (group, row.label)] = round(value, 1)
    return table


def _draw_shrink_sizes(readable: dict[str, Subject], main: Subject) -> None:
    """Fig. 13: enhanced and standard attacks under ShrinkPad of every size."""
    st.markdown("### Under ShrinkPad of every size (Fig. 13)")
    listed = siblings(readable, main)
    sizes = [subject.attack.enhancement.max_shrink for subject in listed if isinstance(subject.attack, Enhanced)]
    figure = shrink_figure(
        (Drawn(subject.attack.title, subject.label, subject.results.strengths) for subject in listed),
        max(sizes, default=0) or None,
    )
    if figure is None:
        st.info("Nothing is stored yet.")
        return
    curves = [(subject, curve) for subject in listed if (curve := subject.results.strength("shrinkpad")) is not None]
    sources = [(Source.of(subject), curve) for subject, curve in curves]
    name = file_name("shrink-sizes", Source.of(main).all_attacks())
    st.plotly_chart(figure, key="shrink-sizes", config=PLOT_CONFIG, width="stretch")
    caption, tools = st.columns([3, 1.2], vertical_alignment="center")
    caption.caption(
        f"{int(curves[0][1].total.max())} images per point, bars are 95% intervals. Dotted: standard attacks."
    )
    with tools:
        downloads(name, lambda: strength_rows(sources, _behind_shrinkpad), lambda: figure)


def _behind_shrinkpad(source: Source, size: float) -> Source:
    return replace(source, defense=f"shrinkpad:{size:g}")


def _draw_max_shrink(main: Subject) -> None:
    """Fig. 14: enhanced attacks trained with other largest shrink sizes."""
    st.markdown("### Trained with another largest shrink size (Fig. 14)")
    results = results_of(main)
    figure = paper_figure("fig14", results)
    if figure is None:
        command = shlex.join(main.reproducing("fig14"))
        st.info(f"Models trained alike with at least two sizes are needed: `{plain(command)}`")
        return
    name = file_name("largest-shrink-in-training", Source.of(main).all_attacks())
    st.plotly_chart(figure, key="max-shrink", config=PLOT_CONFIG, width="stretch")
    caption, tools = st.columns([3, 1.2], vertical_alignment="center")
    caption.caption(
        f"Solid: behind {SHRINKPAD_LABEL}; dotted: without defense. Bars are 95% intervals. Only models that were "
        f"trained alike are compared. {plain(ablation_gaps(results))}"
    )
    with tools:
        downloads(name, lambda: max_shrink_rows(results), lambda: figure)


def _draw_study(main: Subject) -> None:
    """How strong the Consistent Attack's trigger must be for this network, where that was studied."""
    runs = read_study(main.checkpoint.folder.parent / "consistent")
    if not runs:
        return
    network = models[main.card.model].label
    st.markdown(f"### How strong the trigger of the Consistent Attack must be: {network}, {main.dataset_label}")
    table = pd.DataFrame(
        {
            "Alpha": f"{run.alpha:g}",
            "Epochs": run.epochs,
            "Surrogate": run.surrogate,
            "Epsilon (of 255)": f"{run.epsilon:g}",
            "Attack success rate (%)": round(100 * run.attack_success_rate.value, 1),
            "95% interval": formatting.interval(run.attack_success_rate.interval),
            "Clean accuracy (%)": round(100 * run.clean_accuracy.value, 1),
        }
        for run in runs
    )
    st.dataframe(
        one_decimal(table, "Attack success rate (%)", "Clean accuracy (%)"),
        hide_index=True,
        width="stretch",
        height="content",
    )
    smallest = smallest_alpha(runs)
    chosen = (
        "No strength was enough"
        if smallest is None
        else f"The smallest that reached 90 % in one of these runs is {smallest:g}"
    )
    images = f"{runs[0].attack_success_rate.total} attacked and {runs[0].clean_accuracy.total} benign test images"
    st.caption(f"The paper's alpha of 0.25 is for VGG-19 and ResNet-34. {chosen}. {images} each.")
