"""Real handwritten digits that ship inside scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from robust_core.data.base import DATA, DataSource, StoredImages
from robust_core.data.splits import stratified_split
from robust_core.threat_model import Norm, ThreatModel

CLASS_NAMES = tuple("0123456789")
TEST_FRACTION = 360 / 1797
TEST_SEED = 0  # fixed: the test images are the same for everybody


class Digits(DataSource):
    """1,797 handwritten digits of 43 people, 8x8 with 17 grey levels, brought to 1x32x32.

    Enlarged by bicubic interpolation and rounded to 8 bits, so that a PNG holds an image exactly.
    All steps are exact in float64, so every machine gets the same images. 1,257 train, 180
    validation and 360 test images; the test images are a fixed stratified choice.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998 (its test file, as scikit-learn ships it).
    """

    name = "digits"
    title = "Digits (handwriting, 1×32×32, embedded)"
    threat_model = ThreatModel(Norm.LINF, 0.1)
    augmentation = "shift"
    embedded = True
    validation_fraction = 0.125  # of the train file: a tenth of all images

    def read(self, file: str, parameters: Any, root: Path) -> StoredImages:
        """Return the train or the test images; `root` is not needed."""
        from sklearn.datasets import load_digits  # noqa: PLC0415 - takes a second to import

        levels, labels = load_digits(return_X_y=True)
        small = torch.from_numpy(np.asarray(levels)).reshape(-1, 1, 8, 8) / 16.0
        large = F.interpolate(small, size=(32, 32), mode="bicubic", align_corners=False)
        x = (large.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy()
        y = np.asarray(labels).astype(np.int64)
        train, test = stratified_split(y, TEST_FRACTION, TEST_SEED, CLASS_NAMES)
        chosen = test if file == "test" else train
        return StoredImages(x[chosen], y[chosen], CLASS_NAMES)


DATA.register("digits")(Digits())
