from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.page.start.example import find_example
from app.page.start.first_steps import ROBUST, STANDARD
from robust_core.checkpoints.card import Card, versions
from robust_core.checkpoints.catalog import checkpoint_info, save_checkpoint
from robust_core.config.presets import preset
from robust_core.data import load_data
from robust_core.losses import cross_entropy
from robust_core.models.base import Classifier, create_model
from robust_core.training.directory import RunDirectory, RunStatus
from tests.app.page_driver import open_view
from tests.shelves import use_only


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_only(tmp_path, monkeypatch)
    return tmp_path


def links(page: AppTest) -> dict[str, str]:
    return {link.proto.label: link.proto.query_string for link in page.get("page_link")}


@pytest.fixture(scope="module")
def network() -> Classifier:
    """A small network that reads most digits and that PGD breaks."""
    model = create_model("small_cnn", (1, 32, 32), 10, {"width": 8})
    images = load_data("digits", "train")
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for x, y in zip(images.x[:1200].split(40), images.y[:1200].split(40), strict=True):
        loss = cross_entropy(model(x), y).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def ship(folder: Path, name: str, method: str, accuracy: float, network: Classifier) -> None:
    config = preset("digits", method)
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"parameters": {"width": 8}})}
    )
    attack, accuracy = config.test_attack(), round(360 * accuracy) / 360
    card = {
        "split": "test",
        "num_images": 360,
        "clean_accuracy": 0.975,
        "clean_interval": [0.96, 0.99],
        "robust": [
            {
                "attack": {"name": attack.name, "parameters": attack.model_dump(mode="json")},
                "accuracy": accuracy,
                "interval": [accuracy - 0.05, accuracy + 0.05],
                "num_images": 360,
            }
        ],
        "epoch": 30,
        "seed": 0,
        "versions": versions(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(
        folder / f"{name}.safetensors",
        network,
        config=config,
        class_names=tuple("0123456789"),
        epoch=30,
        card=Card.create(card),
    )


@pytest.fixture
def shipped(checkpoints: Path, network: Classifier) -> None:
    ship(checkpoints / "pretrained", STANDARD, "standard", 0.26, network)
    ship(checkpoints / "pretrained", ROBUST, "pgd_at", 0.8, network)


def test_an_empty_laboratory_says_how_to_begin() -> None:
    page = open_view()
    assert "No model yet" in page.info[0].value
    tour = "**New to this? Take a guided tour**"
    assert list(links(page)) == ["**Set up adversarial training**", tour]
    assert sum("is not installed" in caption.value for caption in page.caption) == 2


@pytest.mark.usefixtures("shipped")
@pytest.mark.slow
def test_the_table_names_attack_and_images_of_every_number() -> None:
    summary, table = open_view().dataframe
    row = summary.value[summary.value["Model"] == ROBUST].iloc[0]
    assert row["As reported"] == row["Lowest measured"] == pytest.approx(80)
    assert row["Gap"] == 0
    assert row["95\u00a0% intervals"].startswith("75–85, ")
    assert row["Reported attack"] == "PGD-50, 5 restarts, Linf 25.5/255, 360 test images"
    assert row["Strongest attack"] == "PGD-50, 5 restarts, worst case of 360 images"
    assert row["Checks"] == "not checked"
    row = table.value[table.value["Model"] == ROBUST].iloc[0]
    assert row["Clean accuracy"] == "97.5\u00a0%\u00a0(95–\u206099)"
    assert row["Robust accuracy"] == "80.0\u00a0%\u00a0(75–\u206085)"
    assert row["Attack"] == "PGD-50, 5 restarts, Linf 25.5/255"
    assert row["Images"] == "360 test"


@pytest.mark.usefixtures("shipped")
@pytest.mark.slow
def test_the_pictures_show_the_predictions_of_the_example() -> None:
    page = open_view()
    example = find_example(checkpoint_info(STANDARD), checkpoint_info(ROBUST))
    images = load_data("digits", "test")
    assert torch.equal(example.standard.x, images.x[example.position])
    assert example.standard.label == example.robust.label == int(images.y[example.position])
    read = [m.value for m in page.markdown if "predicted **" in m.value]
    assert len(read) == 3
    for words, trace in zip(read[1:], (example.standard, example.robust), strict=True):
        assert f"predicted **{trace.prediction}**" in words
        assert ("check_circle" in words) == (trace.prediction == trace.label)


@pytest.mark.slow
@pytest.mark.usefixtures("shipped")
def test_every_link_leads_into_a_state_that_its_page_understands() -> None:
    found = {label: query for label, query in links(open_view()).items() if query}
    views = {"training": "train", "tour": "learn", "model": "attack"}
    assert len(found) == 4
    for label, query in found.items():
        separates = dict(part.split("=") for part in query.split("&"))
        page = open_view(
            next(view for word, view in views.items() if word in label),
            {name: value.replace("%2F", "/") for name, value in separates.items()},
        )
        assert not page.warning or "link" not in page.warning[0].value.lower()
        name = STANDARD if "standard" in label else ROBUST
        if "model" in label:
            assert page.selectbox(key="attack.model").value == name


@pytest.mark.parametrize(("accuracy", "kind"), [(0.8, "robust"), (0.52, "adversarially trained")])
def test_a_model_is_called_robust_only_where_its_card_shows_it(
    checkpoints, network, accuracy, kind
) -> None:
    ship(checkpoints / "pretrained", STANDARD, "standard", 0.26, network)
    ship(checkpoints / "pretrained", ROBUST, "pgd_at", accuracy, network)
    assert f"**Attack the {kind} model**" in links(open_view())


def test_runs_are_listed_with_their_state() -> None:
    for number in range(7):
        run = RunDirectory.create(
            preset("digits", "trades").model_copy(update={"title": f"run {number}"})
        )
        run.write_status(RunStatus("stopped", epoch=3, num_epochs=30))
    page = open_view()
    assert sum(query.startswith("run=") for query in links(page).values()) == 5
    assert any("2 older runs" in caption.value for caption in page.caption)
    assert any("stopped" in markdown.value for markdown in page.markdown)
