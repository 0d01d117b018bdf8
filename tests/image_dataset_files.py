"""Small datasets of people before a camera, written for tests in the real files of MuCo-3DHP, SMAP, Human3.6M, and our
own scenes.
"""

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np

from coco_files import drawing, write_json
from occlupose.media import write_image
from occlupose.skeletons import H36M17
from occlupose.synth.generate import SceneGenerator
from occlupose.synth.layout import SceneSettings, SceneSource
from occlupose.synth.pose_prior import PosePrior

SIZE = (200, 120)
FOCAL = (150.0, 155.0)
CENTRE = (98.0, 61.0)
MUCO = (
    "Head_top Thorax R_Shoulder R_Elbow R_Wrist L_Shoulder L_Elbow L_Wrist R_Hip R_Knee R_Ankle L_Hip L_Knee L_Ankle"
    " Pelvis Spine Head R_Hand L_Hand R_Toe L_Toe"
).split()
OURS = (
    "Thorax Head_top Pelvis L_Shoulder L_Elbow L_Wrist L_Hip L_Knee L_Ankle R_Shoulder R_Elbow R_Wrist R_Hip R_Knee"
    " R_Ankle"
).split()
"""What MuCo calls the joints of MPI15."""


def project(xyz):
    return xyz[..., :2] / xyz[..., 2:] * FOCAL + CENTRE


def bodies(random, count, joints, *, spread=0.35):
    """(person, joint, 3), m: joints anywhere about places before the camera, all of them in the image."""
    places = np.stack([random.uniform(-1, 1, count), random.uniform(-0.3, 0.3, count), random.uniform(4, 6, count)], -1)
    return places[:, None] + random.uniform(-spread, spread, (count, joints, 3))


def muco(random, people=(2, 0, 1)):
    """The content of MuCo-3DHP.json: the people in each image; and their joints, m."""
    content = {"images": [], "annotations": []}
    truth = []
    for number, count in enumerate(people):
        name = f"augmented_set/{number}/0001.jpg"
        size = {"width": SIZE[0], "height": SIZE[1]}
        content["images"].append({"id": 10 + number, "file_name": name, **size, "f": list(FOCAL), "c": list(CENTRE)})
        truth.append(bodies(random, count, len(MUCO)))
        for xyz in truth[-1]:
            content["annotations"].append(
                {
                    "id": len(content["annotations"]),
                    "image_id": 10 + number,
                    "bbox": [1.0, 2.0, 30.0, 40.0],
                    "keypoints_img": project(xyz).tolist(),
                    "keypoints_cam": (1000 * xyz).tolist(),
                    "keypoints_vis": (random.random(len(MUCO)) < 0.6).tolist(),
                }
            )
    return content, truth


def smap_body(xyz, state, *, focal=FOCAL):
    """A person of SMAP's form: 15 x 11."""
    rows = np.zeros((len(xyz), 11))
    rows[:, :2] = project(xyz)
    rows[:, 2] = 100 * xyz[:, 2]
    rows[:, 3] = state
    rows[:, 4:7] = 100 * xyz
    rows[:, 7:9] = focal
    rows[:, 9:] = CENTRE
    return rows


def smap_image(people, name="images/0.jpg", *, dataset="MuCo", validation=0):
    return {
        "dataset": dataset,
        "img_paths": name,
        "img_width": SIZE[0],
        "img_height": SIZE[1],
        "image_id": 1,
        "isValidation": validation,
        "bodys": [np.asarray(body).tolist() for body in people],
    }


def write_h36m(folder, random, *, subject=1, frames=(0, 3, 5)):
    """Annotations of one subject as they are passed on with images, and these; gives the joints before the camera,
    m.
    """
    turn = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    shift = np.array([100.0, -50, 300])
    seen = bodies(random, len(frames), len(H36M17))
    world = (1000 * seen - shift) @ turn  # seen = turn @ world + shift
    images = [
        {
            "id": number,
            "file_name": f"s_{subject:02}/s_{subject:02}_{number}.jpg",
            "width": SIZE[0],
            "height": SIZE[1],
            "subject": subject,
            "action_idx": 2,
            "subaction_idx": 1,
            "cam_idx": 3,
            "frame_idx": frame,
        }
        for number, frame in enumerate(frames)
    ]
    home = folder / "annotations"
    people = [{"id": number, "image_id": number, "bbox": [0, 0, 9, 9]} for number in range(len(frames))]
    write_json(home / f"Human36M_subject{subject}_data.json", {"images": images, "annotations": people})
    lens = {"R": turn.tolist(), "t": shift.tolist(), "f": list(FOCAL), "c": list(CENTRE)}
    write_json(home / f"Human36M_subject{subject}_camera.json", {"3": lens})
    joints = {str(frame): rows.tolist() for frame, rows in zip(frames, world, strict=True)}
    write_json(home / f"Human36M_subject{subject}_joint_3d.json", {"2": {"1": joints}})
    write_images(folder / "images", [image["file_name"] for image in images])
    return seen


def write_images(folder, names, size=SIZE):
    for name in names:
        write_image(folder / name, drawing(np.random.default_rng(len(name)), size=size))


def records(count, **given):
    """Scenes of `occlupose synth`, without images."""
    generator = SceneGenerator(
        SceneSource(
            SceneSettings(**({"seed": 2, "people": (2, 4), "width": 256, "height": 160} | given)), PosePrior.load()
        ),
        None,
    )
    return [generator.generate(number).record for number in range(count)]


def write_scenes(folder: Path, made, *, shard=None, images=True):
    """As `occlupose synth` writes them; a number in each shard, or one by one. Returns the folder."""
    jpeg = cv2.imencode(".jpg", drawing(np.random.default_rng(0), size=(made[0].width, made[0].height)))[1].tobytes()
    contents = []
    for record in made:
        contents += [(f"{record.number:06}.jpg", jpeg)] * images + [(f"{record.number:06}.npz", record.to_bytes())]
    if shard is None:
        for name, content in contents:
            path = folder / ("images" if name.endswith(".jpg") else "scenes") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder
    (folder / "shards").mkdir(parents=True)
    for first in range(0, len(contents), shard * (1 + images)):
        write_tar(folder / f"shards/{first:06}.tar", contents[first : first + shard * (1 + images)])
    return folder


def write_tar(path, contents):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in contents:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def rewritten(path, change):
    """A JSON file with its content changed by a function."""
    content = json.loads(path.read_text())
    change(content)
    return write_json(path, content)
