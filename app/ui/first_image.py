"""The default test image of each data set."""

from robust_core.config.choice import Choice

# Test images of the data sets of the shipped models, which all of these classify correctly and on
# which the default attack of the page Attack fools the undefended one. Data set, scene -> number.
FIRST_IMAGES = {
    ("digits", ""): 5,
    ("shapes", "patterns"): 9,
    ("shapes", "colour_blocks"): 11,
    ("mnist", ""): 0,
    ("imagenet_samples", ""): 13,  # a cannon, which becomes a tricycle
}


def first_image(data: Choice) -> int | None:
    """Return the number of the default test image of a data set; None if there is none.

    Args:
        data: name and parameters of the data set.
    """
    return FIRST_IMAGES.get((data.name, str(data.parameters.get("scene", ""))))
