"""How to make the confusion of the page Hard pairs again outside the browser."""

from app.ui.recipes import Recipe, data_line, model_line, parameters_line, recipe
from robust_core.analysis.confusion_run import ConfusionPlan
from robust_core.checkpoints.catalog import CheckpointInfo


def confusion_recipe(info: CheckpointInfo, plan: ConfusionPlan) -> Recipe:
    """Return the lines for `measure.run_confusion` with the same arguments."""
    return recipe(
        [
            data_line(info),
            model_line(info),
            parameters_line("plan", plan),
            "run = run_confusion(model, plan.images_of(data), plan)",
            "found = run.confusion()",
            "print(found.attacked, found.clean_accuracy(), found.robust_accuracy())",
        ],
        "from robust_core.analysis.confusion_run import ConfusionPlan, run_confusion",
    )
