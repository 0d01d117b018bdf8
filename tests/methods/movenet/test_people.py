import numpy as np
import pytest

from occlupose.errors import OccluposeError
from occlupose.methods.movenet.people import HIPS_UP, SyntheticScene, as_annotated, write_scenes
from occlupose.poses import ABSENT, VISIBLE
from occlupose.skeletons import BODY26, COCO17
from occlupose.synth.generate import generate_scenes
from occlupose.synth.layout import SceneSettings, SceneSource
from photographed_people import make_scene


def test_a_scene_can_be_written_and_read(tmp_path):
    scene = make_scene()
    path = tmp_path / "scene.npz"
    path.write_bytes(scene.to_bytes())
    read = SyntheticScene.load(path)
    np.testing.assert_array_equal(read.surface, scene.surface)
    np.testing.assert_array_equal(read.xy, scene.xy)
    np.testing.assert_array_equal(read.state, scene.state)
    assert read.image.shape == scene.image.shape and read.image.dtype == np.uint8


@pytest.mark.parametrize("content", [b"", b"no scene", make_scene().to_bytes()[:500]])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "scene.npz"
    path.write_bytes(content)
    with pytest.raises(OccluposeError, match=r"^.*scene\.npz: .*; delete it, and start again$"):
        SyntheticScene.load(path)


def test_scenes_are_those_of_synth_with_feet(tmp_path):
    source = SceneSource.load(SceneSettings(seed=3, people=(1, 2), width=160, height=120))
    paths = list(write_scenes(tmp_path, source, 2, workers=0))
    for path, sample in zip(paths, generate_scenes(source, range(2), workers=0), strict=True):
        scene = SyntheticScene.load(path)
        body = BODY26.index(*COCO17.joints)
        np.testing.assert_allclose(scene.xy[:, :17], as_annotated(sample.record.xy[:, body]), atol=1e-3)
        np.testing.assert_array_equal(scene.state[:, :17], sample.record.state[:, body])
        np.testing.assert_array_equal(scene.surface, sample.surface)
        ankles = scene.xy[:, [15, 16, 15, 16]]
        size = np.ptp(scene.xy[:, :17], axis=1).max(-1)
        near = np.linalg.norm(scene.xy[:, 17:] - ankles, axis=-1) < 0.25 * size[:, None]
        assert near[np.isin(scene.state[:, 17:], (ABSENT, VISIBLE))].all()


def test_hips_are_annotated_higher():
    xy = np.zeros((1, 17, 2))
    xy[0, COCO17.index("left_shoulder", "right_shoulder")] = [[12.0, 0], [8, 0]]
    xy[0, COCO17.index("left_hip", "right_hip")] = [[11.0, 100], [9, 100]]
    moved = as_annotated(xy)[0]
    np.testing.assert_allclose(moved[COCO17.index("left_hip", "right_hip")], [[11, 100 - 100 * HIPS_UP], [9, 95]])
    others = np.delete(np.arange(17), COCO17.index("left_hip", "right_hip"))
    np.testing.assert_array_equal(moved[others], xy[0, others])


def test_scenes_that_are_there_are_kept(tmp_path):
    source = SceneSource.load(SceneSettings(seed=3, people=(1, 1), width=96, height=96))
    kept = tmp_path / "000000.npz"
    kept.write_bytes(b"here")
    assert [path.name for path in write_scenes(tmp_path, source, 2, workers=0)] == ["000000.npz", "000001.npz"]
    assert kept.read_bytes() == b"here"
