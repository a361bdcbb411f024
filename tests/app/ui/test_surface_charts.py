import numpy as np
import pytest

from app.ui.charts import Surface, surface_contour, surface_relief

STEPS = np.linspace(-1, 1, 5, dtype=np.float32)
PLANE = np.tile(2 * STEPS - 0.5, (5, 1))  # zero where the first coordinate is 0.25


def surface(margin=PLANE, reached: float | None = 0.8) -> Surface:
    classes = [["9" if value < 0 else "5" for value in row] for row in margin]
    return Surface(STEPS, margin + 1, margin, classes, "Adversarial", "Margin", reached)


def named(figure) -> dict:
    return {trace.name: trace for trace in figure.data if trace.name}


def test_the_boundary_and_both_images_stand_where_they_belong():
    drawn = named(surface_relief(surface()))
    boundary = drawn["Decision boundary"]
    np.testing.assert_allclose(boundary.x, 0.25, atol=1e-6)
    np.testing.assert_allclose(boundary.z, 1.0, atol=1e-6)
    assert sorted(boundary.y) == STEPS.tolist()
    assert drawn["Clean"].x == (0.0,) and drawn["Clean"].z == pytest.approx((0.5,))
    assert drawn["Adversarial"].x == (0.8,) and drawn["Adversarial"].z == pytest.approx((2.1,))


def test_markers_differ_in_shape_and_not_in_colour_alone():
    drawn = named(surface_contour(surface()))
    assert drawn["Clean"].marker.symbol != drawn["Adversarial"].marker.symbol
    assert drawn["Decision boundary"].contours.value == 0


@pytest.mark.parametrize("draw", [surface_contour, surface_relief])
def test_there_is_no_boundary_where_the_label_never_loses_and_no_image_off_the_plane(draw):
    assert named(draw(surface(PLANE - 9, reached=None))).keys() == {"Clean"}
