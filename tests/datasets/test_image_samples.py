import numpy as np

from occlupose.cameras import Camera
from occlupose.datasets.image_samples import make_mpi15_sample
from occlupose.skeletons import MPI15

NECK, HEAD, PELVIS = MPI15.index("neck", "head_top", "pelvis")


def test_a_sample_has_the_people_in_the_image():
    """Sixty people, every other outside of the image; depths behind the camera are not known."""
    random = np.random.default_rng(0)
    xy = random.uniform(5, 90, (60, 15, 2))
    xy[::2] += 500
    xy[1, 3] = (-0.5, 95.5)
    xy[1, 4] = (-0.6, 20)
    z = random.uniform(1, 9, (60, 15))
    z[3, 2] = -1
    z[5, 6] = 0
    z[7, 7] = np.inf
    state = np.full((60, 15), 2, np.uint8)
    state[1, 0] = 0
    found = make_mpi15_sample(None, (120, 96), xy, z, state, camera=Camera.from_fov(120, 96))
    assert len(found) == 30 and np.argwhere(found.state == 0).tolist() == [[0, 0], [0, 3], [0, 4]]
    assert np.array_equal(np.isnan(found.xy).any(-1), found.state == 0)
    assert np.argwhere(np.isnan(found.z) & (found.state > 0)).tolist() == [[1, 2], [2, 6], [3, 7]]
    assert found.xy.dtype == found.z.dtype == np.float32 and found.state.dtype == np.uint8
    edge = xy[1, 3] - (0, 0.1)
    xy[1, 3] = edge
    assert make_mpi15_sample(None, (120, 96), xy, z, state).state[0, 3] == 2
    assert len(make_mpi15_sample(None, (120, 96), xy, z, np.zeros_like(state))) == 0
