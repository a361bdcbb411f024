"""Networks that a file may be, side by side with their clean accuracies."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.page.models.form import Said, pixels_key, twin_key
from app.page.models.pixels import SHORT, pixels_of
from app.page.models.source import Brought
from app.ui import gate, measure
from app.ui.measure import Cost
from app.ui.plain import in_markdown
from app.ui.units import percent
from robust_core.importing.comparing import TrialCost, Variant, compare_cost, compare_variants
from robust_core.importing.costs import operations_per_second
from robust_core.importing.layout import choices
from robust_core.importing.target import Target

PASS = "forward pass"
TEASER = (
    "The file does not say all that this network computes. The clean accuracy on labelled images "
    "shows which of the possible networks it is."
)


def as_cost(trial: TrialCost) -> Cost:
    """Return what a trial costs on this machine."""

    def find() -> float:
        with gate.heavy_work():
            return operations_per_second()

    speed = measure.kept("models.speed", (), find)
    return Cost(trial.passes, trial.operations / speed, PASS)


def compare(brought: Brought, key: str | None, said: Said, target: Target) -> None:
    """Draw every network that the file may still be, under every usual normalisation.

    Args:
        brought: the file.
        key: which set of its weights.
        said: what the person has said so far.
        target: what it classifies; without labelled images nothing can be compared.

    Raises:
        InputError: as of `compare_variants`.
    """
    images, left = target.images, said.left
    if images is None or not left or (len(left) == 1 and said.declared is not None):
        return

    def work(run: measure.Run) -> tuple[Variant, ...]:
        with brought.as_file() as path:
            return compare_variants(
                path, left, target, images, key=key, declared=said.declared, told=run.done
            )

    found = measure.measure(
        "models.compare",
        (brought.key, key, target.data.name, said.declared, tuple(map(repr, left))),
        work,
        cost=as_cost(compare_cost(left, target)),
        label=f"Try all {len(left)} on {target.data.name}" if len(left) > 1 else "Try it",
        teaser=TEASER,
        words="Measuring clean accuracies",
        live_seconds=0.0,
    )
    if found is not None:
        _draw(found, said.at)


def _draw(found: Sequence[Variant], at: str) -> None:
    """Draw a row for each network, a column for each normalisation, and what is highest."""
    twins = list(choices([one.candidate for one in found]))
    ways = sorted(found[0].accuracies, key=lambda way: -max(one.accuracies[way] for one in found))
    found = sorted(found, key=lambda one: -max(one.accuracies.values()))
    rows = [
        {_title(name): str(one.candidate.parameters[name]) for name in twins}
        | {SHORT.get(way, way): 100 * one.accuracies[way] for way in ways}
        for one in found
    ]
    bar = st.column_config.ProgressColumn(
        format="%.0f\u00a0%%", min_value=0, max_value=100, width="small"
    )
    first, way = max(
        ((one, way) for one in found for way in ways), key=lambda pair: pair[0].accuracies[pair[1]]
    )
    values = [f"{name.replace('_', ' ')} {first.candidate.parameters[name]}" for name in twins]
    share = percent(first.accuracies[way])
    best = f"{share} with {', '.join([*values, way])}"
    st.dataframe(
        rows,
        hide_index=True,
        column_config={SHORT.get(way, way): bar for way in ways},
        alt=f"Clean accuracy of {len(found)} networks under {len(ways)} normalisations; the "
        f"highest is {best}",
    )
    st.caption(
        f"Clean accuracy on {first.num_images} labelled images, in per cent. Highest: "
        f"{in_markdown(best)}. Equal or low numbers decide nothing: then "
        "only the network's training code does."
    )
    st.button(
        "Choose the highest",
        icon=":material/arrow_upward:",
        on_click=_choose,
        args=(at, {name: first.candidate.parameters[name] for name in twins}, way),
        key="models.choose",
    )


def _title(name: str) -> str:
    return name.capitalize().replace("_", " ")


def _choose(at: str, values: Mapping[str, Any], way: str) -> None:
    """Put the network and the normalisation into the form, where one can see and change them."""
    for name, value in values.items():
        st.session_state[twin_key(at, name)] = value
    chosen = pixels_of(way)
    for key, value in chosen.items():
        st.session_state[f"{pixels_key(at)}{key}"] = value
