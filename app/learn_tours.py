"""All guided tours, in the order of the list; the name of a tour stands in links."""

from app.learn_lesson import Tour
from app.learn_tours_attacks import ADVERSARIAL, MASKING, REAL, TRAINING
from app.learn_tours_methods import GRADIENTS, LATENT, RETINA, VIRTUAL

TOURS: dict[str, Tour] = {
    "adversarial": ADVERSARIAL,
    "training": TRAINING,
    "masking": MASKING,
    "gradients": GRADIENTS,
    "virtual": VIRTUAL,
    "retina": RETINA,
    "latent": LATENT,
    "real": REAL,
}
