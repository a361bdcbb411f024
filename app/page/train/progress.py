"""One run: its state, actions, curves, numbers and log."""

import streamlit as st

from app.page.train.curves import show_curves
from app.page.train.model import open_model, show_card
from app.ui.copy_recipe import copy_recipe
from app.ui.forms import show_input_error
from app.ui.job_controls import JobKind, explain, show_delete, show_log, show_main_action
from app.ui.plain import in_markdown
from app.ui.recipes import training_recipe
from app.ui.run_list import run_title, select_run, state_badge
from app.ui.units import percent
from app.ui.words import exact_words
from robust_core import jobs
from robust_core.config.run import RunConfig
from robust_core.errors import InputError
from robust_core.training.directory import RunDirectory, RunStatus, RunSummary
from robust_core.training.metrics import EpochMetrics

RUN = JobKind(
    page="train",
    stop_label="Stop",
    stop_help="Saves and stops; complete epochs are kept, the current one is lost.",
    resume_help="Continues after the last complete epoch; the result is as without a stop.",
    question="Permanently delete this run, its curves and its model?",
    piece="epoch",
    forget=lambda: select_run(None),
)


def show_run(summary: RunSummary) -> None:
    """Draw everything about a run, from its current files."""
    try:
        run = jobs.find(RunDirectory, summary.run_id)
    except InputError as error:  # deleted in another tab
        show_input_error(error)
        return
    status = summary.status
    metrics = run.metrics()
    st.subheader(in_markdown(run_title(summary)), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        state_badge(status)
        st.caption(in_markdown(f"{summary.run_id} · {summary.model}"), width="content")
    _progress(status)
    _actions(summary, run)
    explain(RUN, run, status)
    try:
        config = run.config()
    except InputError as error:
        show_input_error(error)
        return
    damage = run.metrics_damage()
    if damage:
        show_input_error(InputError(f"{damage}; the epochs before it are shown"))
    if metrics:
        _numbers(config, metrics)
        show_curves(summary.run_id, metrics)
    elif status.active:
        st.info("The curves appear after the first complete epoch.", icon=":material/show_chart:")
    if summary.has_model and status.state == "finished":
        show_card(summary.run_id)
    copy_recipe(training_recipe(config), key="train.recipe")
    show_log(RUN, run)


def _progress(status: RunStatus) -> None:
    share = status.step / status.num_steps if status.num_steps else 0.0
    words = [f"Epoch {status.epoch} of {status.num_epochs} complete"]
    if status.phase and status.active:
        words.append(status.phase)
    if status.active and status.seconds_left is not None:
        words.append(f"about {_clock(status.seconds_left)} left")
    st.progress(
        min(1.0, share if status.state != "finished" else 1.0), in_markdown(" · ".join(words))
    )


def _actions(summary: RunSummary, run: RunDirectory) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        show_main_action(RUN, run, summary.status)
        show_delete(RUN, run, summary.status)
    if summary.has_model:
        open_model(summary.run_id)


def _numbers(config: RunConfig, metrics: list[EpochMetrics]) -> None:
    """Show the last epoch's accuracies, with the attack and images that they were measured on."""
    last = metrics[-1]
    best = max(metrics, key=lambda record: record.rank(config))
    first, then = ("robust", "clean")
    if config.evaluation.best_by == "clean_accuracy":
        first, then = then, first
    columns = st.columns(3)
    columns[0].metric("Clean accuracy", percent(last.clean_accuracy))
    columns[1].metric("Robust accuracy", percent(last.robust_accuracy))
    columns[2].metric(
        "Best epoch",
        best.epoch,
        help=f"Best {first}, then {then} validation accuracy; the run keeps these weights.",
    )
    if last.warning:
        st.warning(in_markdown(last.warning), icon=":material/casino:")
    attack = config.validation_attack()
    st.caption(
        f"After epoch {last.epoch}, on {last.num_images:,} validation images. Robust: "
        f"correct under {exact_words(attack)}. Best epoch: "
        f"{percent(best.clean_accuracy)} clean, {percent(best.robust_accuracy)} robust; "
        f"{_clock(sum(record.seconds for record in metrics))} of training."
    )


def _clock(seconds: float) -> str:
    """Return "42 s", "3 min 20 s" or "2 h 5 min"."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
