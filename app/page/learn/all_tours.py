"""All guided tours, in the order of the list; links contain the name of a tour."""

from app.page.learn.lesson import Tour
from app.page.learn.tour_first import ADVERSARIAL
from app.page.learn.tours_attacks import MASKING, REAL, TRAINING
from app.page.learn.tours_methods import GRADIENTS, LATENT, RETINA, VIRTUAL

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
