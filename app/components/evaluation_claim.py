"""What a paper claims for a model, beside what settles it."""

import streamlit as st

from app.components.evaluation_rows import share_words, trust_words
from app.words import attack_title
from robust_core.evaluation_runs import AttackResult, CheckpointResult, EvaluationResults

EXPLANATION = (
    "Claimed: attacked the way the paper did. Settled: what stands against every attack here, made "
    "on the judged model itself or not; an upper bound in any case."
)


def show_claims(results: EvaluationResults) -> None:
    """Draw claim and settled number of every model that was attacked in its paper's way."""
    claimed = [one for one in results.checkpoints if _claims(one)]
    for result in claimed:
        _show(result)
    if claimed:
        st.caption(EXPLANATION)


def _show(result: CheckpointResult) -> None:
    claim = max(_claims(result), key=lambda one: one.report.robust_accuracy)
    settling = min(result.attacks, key=lambda one: one.report.robust_accuracy)
    worst = share_words(result.worst_case_accuracy, result.worst_case_interval)
    with st.container(border=True, horizontal=True, gap="large", vertical_alignment="center"):
        st.markdown(f"**{result.name}**", width="content")
        for title, number, one in (
            (
                "Claimed",
                share_words(claim.report.robust_accuracy, claim.report.robust_interval),
                claim,
            ),
            ("Settled", worst, settling),
        ):
            source = f" made on {one.choice.source}" if one.choice.source else ""
            st.markdown(
                f"{title}: **{number}**  \n{attack_title(one.choice.name)}{source} · "
                f"{trust_words(one)}",
                width="content",
            )


def _claims(result: CheckpointResult) -> list[AttackResult]:
    return [one for one in result.attacks if one.choice.role == "claim"]
