"""Whatever stands in an address, a page says one sentence about it and goes on."""

import pytest

from app.page.compare.transfer import SAMPLE
from app.page.gradients.link import gradients_link
from app.page.hard_pairs.controls import hard_pairs_link
from app.page.latent.link import latent_link
from app.page.learn.link import LINK as LEARN
from app.page.retina.link import retina_link
from app.page.robustness.link import LINK as ROBUSTNESS
from app.ui.attack_link import attack_link
from app.ui.compared_models import compared_part
from app.ui.page_link import PageLink
from app.ui.run_link import LINK as TRAIN
from robust_core.attacks.base import ATTACKS
from robust_core.checkpoints.catalog import checkpoint_info

INFOS = [checkpoint_info(name) for name in ("digits-pgd_at", "digits-ciiv", "digits-atld:imt")]
LINKS: dict[str, PageLink] = {
    "attack": attack_link("attack", INFOS),
    "compare": attack_link("compare", INFOS, [compared_part(INFOS), SAMPLE]),
    "gradients": gradients_link(INFOS),
    "hard_pairs": hard_pairs_link(INFOS),
    "latent": latent_link(INFOS),
    "learn": LEARN,
    "retina": retina_link(INFOS),
    "robustness": ROBUSTNESS,
    "train": TRAIN,
}
VALUES = [
    "",
    "x",
    "/",
    "5",
    "-1",
    "nan",
    "inf",
    "1e400",
    "0" * 200,
    "..",
    "a/b/c/d",
    "digits/test/x",
]
NAMES = {name for attack in ATTACKS.names() for name in ATTACKS.get(attack).model_fields}


@pytest.mark.parametrize("page", LINKS)
def test_every_part_of_every_address_ends_in_a_sentence(page):
    link = LINKS[page]
    parts = {part.name for part in link.parts}
    for name in sorted(parts | NAMES | {"unknown", ""}):
        for value in VALUES:
            for problem in link.take({name: value}):
                assert problem.startswith("The link cannot be followed in full: ")
                assert problem.endswith(".") and "\n" not in problem and len(problem) < 900
        assert name in parts or link.take({name: "x"})
