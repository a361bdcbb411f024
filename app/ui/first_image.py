"""The test image that pages show first."""

from robust_core.config.run import Choice

# Test images of the embedded data sets that every shipped model reads right and that the undefended
# one loses under the first attack of the page Attack. Data set, scene -> number of the image.
FIRST_IMAGES = {("digits", ""): 5, ("shapes", "patterns"): 9, ("shapes", "colour_blocks"): 11}


def first_image(data: Choice) -> int | None:
    """Return the number of the test image shown first for a data set; None: there is no such one.

    Args:
        data: name and parameters of the data set.
    """
    return FIRST_IMAGES.get((data.name, str(data.parameters.get("scene", ""))))
