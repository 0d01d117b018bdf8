import numpy as np
import pytest
import trimesh

from occlupose.synth import objects


@pytest.mark.parametrize("kind", [*objects.STANDING_OBJECTS, "chair"])
@pytest.mark.parametrize("seed", range(4))
def test_furniture_stands_on_the_ground_and_is_as_large_as_furniture(kind, seed):
    make = objects.chair if kind == "chair" else objects.STANDING_OBJECTS[kind]
    vertices, faces = make(np.random.default_rng(seed))
    assert vertices[:, 1].min() == pytest.approx(0)
    assert 0.1 < np.ptp(vertices, 0).max() < 4.1
    assert faces.min() == 0 and faces.max() == len(vertices) - 1


@pytest.mark.parametrize("mesh", [objects.block(1, 2, 3), objects.cylinder(0.2, 1.5)], ids=["block", "tube"])
def test_solids_are_closed_and_have_the_right_volume(mesh):
    solid = trimesh.Trimesh(*mesh, process=False)
    assert solid.is_watertight
    assert abs(solid.volume) == pytest.approx(
        6 if len(mesh[0]) == 8 else 12 / 2 * 0.2**2 * np.sin(2 * np.pi / 12) * 1.5
    )


def test_meshes_together_keep_their_triangles():
    one = objects.block(1, 1, 1)
    other = objects.cylinder(0.1, 1)
    vertices, faces = objects.merge(one, other)
    np.testing.assert_array_equal(vertices[faces][: len(one[1])], one[0][one[1]])
    np.testing.assert_array_equal(vertices[faces][len(one[1]) :], other[0][other[1]])


def test_a_thing_faces_where_it_is_turned():
    vertices, _ = objects.place((np.array([[0.0, 1.0, 2.0]]), np.zeros((0, 3), int)), np.pi / 2, 5.0, 6.0)
    np.testing.assert_allclose(vertices, [[7.0, 1.0, 6.0]], atol=1e-9)


@pytest.mark.parametrize("kind", objects.FOREGROUND_OBJECTS)
def test_the_same_seed_makes_the_same_thing(kind):
    one = objects.FOREGROUND_OBJECTS[kind](np.random.default_rng(1))
    same = objects.FOREGROUND_OBJECTS[kind](np.random.default_rng(1))
    other = objects.FOREGROUND_OBJECTS[kind](np.random.default_rng(2))
    np.testing.assert_array_equal(one[0], same[0])
    assert one[0].shape != other[0].shape or not np.allclose(one[0], other[0])
