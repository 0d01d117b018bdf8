"""BVH and glTF files in Blender, where its module `bpy` is installed (pip install bpy==5.0.*, in Python 3.11)."""

import numpy as np
import pytest

from moving_skeletons import moving_poses
from occlupose.bodies.anny import anny
from occlupose.kinematics import fit_poses
from occlupose.kinematics.surface import move_body

FPS = 60
STARTS = {"pelvis": "pelvis", "chest": "spine", "left_forearm": "left_elbow", "right_hand": "right_wrist"}
STARTS |= {"left_shank": "left_knee", "right_foot": "right_ankle", "head": "neck_nose", "left_toes": "left_foot"}
"""Some bones, and where they begin."""

pytestmark = pytest.mark.slow


@pytest.fixture
def bpy():
    module = pytest.importorskip("bpy")
    module.ops.wm.read_factory_settings(use_empty=True)
    module.context.scene.render.fps = FPS
    return module


def y_up(place):
    """From Blender's axes, with z up."""
    x, y, z = place
    return np.array([x, z, -y])


def test_bvh(bpy, tmp_path):
    poses = moving_poses(np.random.default_rng(0), 20, people=1, fps=FPS)
    fit = fit_poses(poses).turn_y_up()
    (path,) = poses.export(tmp_path / "a.bvh")
    bpy.ops.import_anim.bvh(filepath=str(path), axis_forward="-Z", axis_up="Y")
    armature = bpy.context.object
    for frame in range(len(poses)):
        bpy.context.scene.frame_set(frame + 1)
        for bone, point in STARTS.items():
            place = y_up(armature.matrix_world @ armature.pose.bones[bone].head)
            expected = fit.xyz[frame, 0, fit.skeleton.index(point)[0]]
            assert np.linalg.norm(place - expected) < 1e-3, (frame, bone)


def test_gltf(bpy, tmp_path):
    poses = moving_poses(np.random.default_rng(0), 20, fps=FPS)
    fit = fit_poses(poses).turn_y_up()
    (path,) = poses.export(tmp_path / "a.glb")
    bpy.ops.import_scene.gltf(filepath=str(path))
    for frame in (0, 7, 19):
        bpy.context.scene.frame_set(frame)
        evaluated = bpy.context.evaluated_depsgraph_get()
        for person, track_id in enumerate(poses.track_id):
            for point, name in enumerate(fit.skeleton.joints):
                place = y_up(bpy.data.objects[f"id_{track_id}:{name}"].matrix_world.translation)
                assert np.linalg.norm(place - fit.xyz[frame, person, point]) < 1e-3, (frame, name)
            body = bpy.data.objects[f"id_{track_id}:body"]
            corners = body.evaluated_get(evaluated).to_mesh().vertices
            vertices = np.array([y_up(body.matrix_world @ corner.co) for corner in corners])
            expected = move_body(fit, person, anny(captured=True)).at(slice(frame, frame + 1)).vertices[0].numpy()
            assert np.linalg.norm(vertices - expected, axis=1).max() < 2e-3, frame
