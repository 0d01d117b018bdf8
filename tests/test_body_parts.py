"""Names are those of the tree, of what bears bodies and of the body model, which all are above the records."""

from occlupose import body_parts
from occlupose.bodies import body
from occlupose.bodies.anny import anny
from occlupose.kinematics import body_tree
from occlupose.world.bearing import bearing_joints


def test_segments_and_bones_are_those_of_the_tree():
    assert body_tree().segments == body_parts.SEGMENTS
    assert body_tree().points[1:] == body_parts.BONES
    assert len(body_tree().rest) == len(body_parts.BONES)


def test_what_bears_a_body_is_what_touches_the_floor():
    assert tuple(bearing_joints(body_tree().skeleton)) == body_parts.BEARING


def test_the_shape_is_that_of_the_body_model():
    assert tuple(anny(captured=True).shape_names) == body_parts.SHAPE
    assert len(anny(captured=True).neutral) == len(body_parts.SHAPE)


def test_sides_are_those_of_the_body_model():
    assert tuple(body.SIDES) == body_parts.SIDES
