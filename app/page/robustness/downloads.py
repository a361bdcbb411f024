"""The results of an evaluation as files: CSV, JSON and the HTML report."""

import json

import streamlit as st

from app.page.robustness.report import report_html
from app.page.robustness.report_pictures import broken_images
from app.ui import models
from app.ui.copy_recipe import copy_recipe
from app.ui.downloads import download
from app.ui.recipes import evaluation_recipe
from robust_core.evaluation_runs import EvaluationResults


def show_downloads(results: EvaluationResults, run_id: str) -> None:
    """Draw the buttons; what they give is made when one is pressed."""

    def to_json() -> str:
        return json.dumps(results.to_json(), indent=2) + "\n"

    with st.container(horizontal=True):
        download("CSV", results.to_csv, f"{run_id}.csv", help="One row per image.")
        download("JSON", to_json, f"{run_id}.json", help="All results, with the exact plan.")
        download(
            "HTML report",
            lambda: _report(results, run_id),
            f"{run_id}.html",
            help="One file: verdict, table, figures, images, model cards, findings and plan.",
        )
        copy_recipe(evaluation_recipe(results.plan), key="robustness.recipe")


def _report(results: EvaluationResults, run_id: str) -> str:
    digests = {one.name: one.digest for one in results.checkpoints}
    infos = {
        info.name: info for info in models.checkpoints() if digests.get(info.name) == info.digest
    }
    pictures = {one.name: broken_images(results.plan, one) for one in results.checkpoints}
    return report_html(results, run_id, infos=infos, pictures=pictures)
