import pytest

from robust_core.config.run import DATA_MAY_BE_ELSEWHERE, RunConfig
from robust_core.errors import InputError
from robust_core.files import parse_json_object
from robust_core.methods import list_methods
from robust_core.methods.base import METHODS, create_method
from robust_core.methods.ciiv import CiiV
from robust_core.threat_model import Norm
from tests.training.conftest import tiny_config


def test_json_round_trip(tmp_path) -> None:
    config = tiny_config(title="größer", schedule={"name": "step", "milestones": [0.5]})
    path = tmp_path / "config.json"
    path.write_text(config.to_json(), encoding="utf-8")
    assert RunConfig.from_json(path) == config


def test_nested_defaults_are_written_out() -> None:
    parameters = tiny_config(method={"name": "trades"}).method.parameters
    assert parameters["beta"] == 6.0
    assert parameters["norm"] == "Linf"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 0}, "epochs must be >= 1, got 0"),
        ({"epoch": 3}, "did you mean 'epochs'?"),
        ({"method": {"name": "tradess"}}, "unknown method 'tradess' (did you mean 'trades'?)"),
        ({"method": {"name": "trades", "parameters": {"beta": -1}}}, "beta must be >= 0"),
        ({"method": {"name": "pgd_at", "parameters": {"epsilon": 8}}}, "did you mean 8/255?"),
        ({"model": {"name": "big_cnn"}}, "unknown model 'big_cnn'"),
        (
            {"model": {"name": "onnx", "parameters": {"graph": 64 * "0"}}},
            "model onnx is built from a file and is not trained here",
        ),
        ({"model": {"name": "small_cnn", "parameters": {"a": 1}}}, "unknown parameter 'a'"),
        ({"data": {"name": "digit"}}, "did you mean 'digits'?"),
        ({"evaluation": {"attack": {"name": "pdg"}}}, "unknown attack 'pdg'"),
        ({"optimiser": {"learning_rate": float("nan")}}, "finite"),
        ({"schedule": {"name": "zigzag"}}, "must be one of"),
        ({"seed": -1}, "seed must be >= 0"),
        (
            {"method": {"name": "pag"}, "rand_augment": True},
            "method pag needs the images as they are stored: rand_augment must be false",
        ),
    ],
)
def test_wrong_values_give_one_sentence(changes, sentence) -> None:
    with pytest.raises(InputError) as caught:
        tiny_config(**changes)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "should be JSON"),
        ("[1]", "should be a JSON object {...}, got a list"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ("[" * 100_000, "should be JSON"),
        (b"\xff\xfe{", "should be JSON"),
    ],
)
def test_json_is_strict(text, sentence) -> None:
    with pytest.raises(InputError, match=r"^config") as caught:
        parse_json_object(text, "config")
    assert sentence in str(caught.value)


def test_the_best_epoch_is_what_the_configuration_says() -> None:
    early, late = (
        {"epoch": 1, "robust_accuracy": 0.19, "clean_accuracy": 0.2},
        {"epoch": 2, "robust_accuracy": 0.1, "clean_accuracy": 0.97},
    )
    assert max(early, late, key=lambda one: tiny_config().rank(**one)) is early
    by_clean = tiny_config(evaluation={"best_by": "clean_accuracy"})
    assert max(early, late, key=lambda one: by_clean.rank(**one)) is late


def test_the_best_epoch_is_never_one_below_the_full_radius() -> None:
    method = {"name": "trades", "parameters": {"warmup_epochs": 2}}
    config = tiny_config(method=method, epochs=4)
    accuracies = (0.9, 0.8, 0.3, 0.2)
    records = [
        {"epoch": number, "robust_accuracy": accuracy, "clean_accuracy": accuracy}
        for number, accuracy in enumerate(accuracies, start=1)
    ]
    assert max(records, key=lambda one: config.rank(**one))["epoch"] == 3
    assert max(records[:2], key=lambda one: config.rank(**one))["epoch"] == 1  # so far


@pytest.mark.parametrize(
    ("name", "parameters", "epochs", "sentence"),
    [
        *(
            (
                name,
                {"warmup_epochs": 3},
                3,
                f"method {name}: the training attack reaches full epsilon only from epoch 4 on "
                "(warmup_epochs 3), but the run ends after epoch 3",
            )
            for name in list_methods()
            if "warmup_epochs" in METHODS.get(name).Parameters.model_fields
        ),
        (
            "pgd_at",
            {"awp_gamma": 0.01, "awp_warmup_epochs": 2},
            1,
            "method pgd_at: the weights are perturbed only from epoch 3 on (awp_warmup_epochs 2)",
        ),
        (
            "pag",
            {"reduced_epochs": 5},
            5,
            "method pag: the alignment has its full weight only from epoch 6 on (reduced_epochs 5)",
        ),
    ],
)
def test_a_run_that_ends_before_its_method_begins_is_refused(
    name, parameters, epochs, sentence
) -> None:
    method = {"name": name, "parameters": parameters}
    with pytest.raises(InputError) as caught:
        tiny_config(method=method, epochs=epochs)
    assert sentence in str(caught.value)
    enough = tiny_config(method=method, epochs=max(parameters.values()) + 1)
    assert not enough.warnings()
    stored = enough.model_dump(mode="json") | {"epochs": epochs}  # of an older checkpoint
    assert RunConfig.model_validate(stored, context=DATA_MAY_BE_ELSEWHERE).epochs == epochs


def test_a_weight_warm_up_without_perturbation_and_no_warm_up_are_no_obstacle() -> None:
    tiny_config(method={"name": "pgd_at", "parameters": {"awp_warmup_epochs": 9}}, epochs=1)
    for name in list_methods():
        tiny_config(method={"name": name}, epochs=1)


def test_what_a_short_run_never_reaches_is_told() -> None:
    views = {"name": "retinotopic", "parameters": {}}
    method = {"name": "ciiv", "parameters": {"growth_interval": 2}}
    short = tiny_config(model=views, method=method, epochs=7)
    assert short.warnings() == (
        "method ciiv: the regulariser has its last weight, 100, only from epoch 8 on "
        "(growth_interval 2), but the run ends after epoch 7",
    )
    assert not tiny_config(model=views, method=method, epochs=8).warnings()
    steps = {"name": "step", "milestones": [0.5, 3, 4, 5]}
    (sentence,) = tiny_config(schedule=steps, epochs=4).warnings()
    assert sentence.startswith("schedule: milestones 4, 5 come after the end of the run, epoch 4")
    assert not tiny_config(schedule={**steps, "name": "constant"}, epochs=4).warnings()


@pytest.mark.parametrize("growths", [0, 1, 3])
def test_the_weight_of_ciiv_is_the_last_one_from_its_onset_on(growths) -> None:
    method = create_method("ciiv", {"growth_interval": 4, "num_growths": growths})
    assert isinstance(method, CiiV)
    onset = next((onset.epoch for onset in method.onsets(method.settings)), 0)
    weights = []
    for epoch in range(20):
        method.on_epoch_start(epoch, 20)
        weights.append(method.current_weight)
    assert weights.index(weights[-1]) == onset


def test_a_data_set_that_is_not_here_does_not_take_the_threat_model_along() -> None:
    values = tiny_config().model_dump(mode="json")
    values["data"] = {"name": "elsewhere"}
    trained = RunConfig.model_validate(values, context=DATA_MAY_BE_ELSEWHERE)
    assert trained.data_threat_model().epsilon == trained.threat_model().epsilon == 0.1
    values["method"] = {"name": "standard"}
    plain = RunConfig.model_validate(values, context=DATA_MAY_BE_ELSEWHERE)
    assert plain.data_threat_model().epsilon == plain.threat_model().epsilon == 8 / 255
    assert tiny_config(method={"name": "pgd_at"}).data_threat_model().epsilon == 0.1


def test_missing_file_gives_a_sentence(tmp_path) -> None:
    with pytest.raises(InputError, match="no such file"):
        RunConfig.from_json(tmp_path / "none.json")


def test_judged_in_the_threat_model_trained_against() -> None:
    trained = {"name": "pgd_at", "parameters": {"norm": "L2", "epsilon": 0.5}}
    attack = tiny_config(method=trained, evaluation={}).test_attack()
    assert (attack.norm, attack.epsilon) == (Norm.L2, 0.5)
    assert attack.model_dump()["num_steps"] == 50
    assert attack.model_dump()["num_restarts"] == 5


def test_standard_training_is_judged_in_the_data_sets_threat_model() -> None:
    attack = tiny_config(method={"name": "standard"}, evaluation={}).validation_attack()
    assert (attack.norm, attack.epsilon) == (Norm.LINF, 0.1)
    assert attack.model_dump()["num_steps"] == 10
