"""The readers, each with a valid file and what changes it."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import coco_files
import image_dataset_files
import mupots_files
from foreign_files import FPS, SIZE, csv_file, json_file, openpose_people, triples, walkers
from fuzz.mutation import (
    Target,
    change_archive,
    change_arrays,
    change_bytes,
    change_json,
    change_png,
    change_safetensors,
    change_tar,
    change_text,
)
from media_files import corners, make_video
from mocap_files import asf, swinging, write_joints
from occlupose import Poses, formats
from occlupose.cameras import Camera
from occlupose.cli.archive.inputs import find, find_jobs
from occlupose.cli.archive.requests import read_requests
from occlupose.cli.archive.worker import skipped
from occlupose.cli.estimation import RunOptions
from occlupose.cli.fingerprint import stamp
from occlupose.cli.output import OutputFolder
from occlupose.datasets import discovery
from occlupose.datasets.formats import (
    cmu,
    coco,
    coco_results,
    h36m_images,
    mocap_joints,
    muco,
    mupots,
    smap,
    synth_scenes,
    threedpw,
)
from occlupose.datasets.formats.cameras_file import read_cameras_file
from occlupose.datasets.formats.pickled_npz import read_pickled
from occlupose.datasets.images import ImageIndex
from occlupose.errors import OccluposeError
from occlupose.evaluation.predictions import ImagePredictions
from occlupose.formats import movement, trc
from occlupose.frontends.onnx.cards import load_card
from occlupose.frontends.onnx.mmdeploy import read_export
from occlupose.frontends.onnx.session import OnnxSession
from occlupose.media import open_media, read_image
from occlupose.methods.lifter import network as lifter
from occlupose.methods.lifter.network import LifterNetwork
from occlupose.networks import checkpoints
from occlupose.skeletons import BODY25, COCO17, COCO18
from occlupose.synth.noise import SHIPPED, NoiseModel
from occlupose.training import recipe
from occlupose.training.loop import Optimisation, train
from onnx_networks import constant
from pose_dataset_files import cameras_json
from pose_records import fitted, record, uncertain


def random() -> np.random.Generator:
    """The same numbers each time."""
    return np.random.default_rng(0)


def saved(path: Path, **arrays: Any) -> Path:
    """An .npz file."""
    np.savez_compressed(path, **arrays)
    return path


def with_text(path: Path, text: str | bytes) -> Path:
    """A file with this content."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# ------------------------------------------------------------------------------------------------- poses


def poses_file(suffix: str) -> Callable[[Path], Path]:
    """Makes one of our files with everything that it can hold."""

    def make(folder: Path) -> Path:
        fitted(uncertain(record(frames=3, skeleton=COCO17))).save(folder / f"poses{suffix}")
        return folder / f"poses{suffix}"

    return make


def least_poses(folder: Path) -> Path:
    """A file of ours made by hand."""
    return saved(folder / "hand.npz", xy=walkers(frames=3)[:, 0], skeleton="coco17", fps=25.0)


def read_poses(path: Path) -> None:
    """Reads a file of ours in both ways, and writes it again."""
    formats.read(path)
    poses = Poses.load(path)
    poses.save(path.with_name("again.json"))
    assert Poses.load(path.with_name("again.json")).xy.shape == poses.xy.shape


def mediapipe_landmarks() -> list[list[dict[str, float]]]:
    """Frames of 33 landmarks."""
    values = random().uniform(0.2, 0.8, (3, 33, 4)).round(3).tolist()
    return [[dict(zip(("x", "y", "z", "visibility"), mark, strict=True)) for mark in frame] for frame in values]


def mediapipe_table(folder: Path) -> Path:
    """A row for each frame."""
    header = [f"{axis}{number}" for number in range(1, 34) for axis in ("x", "y", "z", "v")]
    return csv_file(folder / "a.csv", [header, *random().uniform(0.2, 0.8, (3, 132)).round(3).tolist()])


def deeplabcut_table(folder: Path) -> Path:
    """A table with three lines of labels."""
    labels = [("DLC", joint, axis) for joint in COCO17.joints for axis in ("x", "y", "likelihood")]
    header = [
        [level, *names]
        for level, names in zip(("scorer", "bodyparts", "coords"), zip(*labels, strict=True), strict=True)
    ]
    numbers = np.concatenate([walkers(frames=3)[:, 0], np.full((3, 17, 1), 0.9)], -1).reshape(3, -1).round(2)
    return csv_file(folder / "a.csv", [*header, *([row, *values] for row, values in enumerate(numbers.tolist()))])


def exported(path: Path, write: Callable[[Poses, Path], None]) -> Path:
    """A file that we write for others."""
    write(record(frames=4, people=1, skeleton=COCO17), path)
    return path


def coco_keypoints() -> list[dict[str, Any]]:
    """COCO's results, a frame after the other."""
    return [
        {"image_id": frame, "category_id": 1, "keypoints": triples(person), "score": 0.9}
        for frame, people in enumerate(walkers(frames=3))
        for person in people
    ]


def mmpose_video() -> list[dict[str, Any]]:
    """MMPose's frames."""
    return [
        {
            "frame_id": frame,
            "instances": [
                {"keypoints": person.tolist(), "keypoint_scores": [0.9] * 17, "bbox": [[0, 0, 9, 9]]}
                for person in people
            ],
        }
        for frame, people in enumerate(np.nan_to_num(walkers(frames=3)))
    ]


def alphapose_images() -> dict[str, Any]:
    """AlphaPose's images."""
    return {
        f"{number}.jpg": {
            "version": "AlphaPose v0.3",
            "people": [{"pose_keypoints_2d": triples(one)} for one in people],
        }
        for number, people in enumerate(walkers(COCO18, 3))
    }


def openpose_files(folder: Path) -> Path:
    """A folder with a document for each frame; the first one is changed."""
    paths = [
        json_file(folder / f"walk_{number:012d}_keypoints.json", openpose_people(people))
        for number, people in enumerate(walkers(BODY25, 3))
    ]
    return paths[0]


def document(content: Callable[[], Any]) -> Callable[[Path], Path]:
    """Makes a JSON file."""
    return lambda folder: json_file(folder / "a.json", content())


def read_formats(path: Path) -> None:
    """Reads the file of another tool, with and without what it may not say."""
    with suppress(OccluposeError):
        formats.read(path)
    formats.check_2d(formats.read(path, fps=FPS, size=SIZE).poses)


def read_array(path: Path) -> None:
    """Reads an array of keypoints."""
    formats.check_2d(formats.read(path, skeleton="coco17").poses)


CAMERA = {"width": 640, "height": 480, "fx": 500.0, "fy": 501.0, "cx": 320.0, "cy": 240.0, "up": [0, -1, 0]}

POSES = (
    Target("npz", poses_file(".npz"), change_arrays, read_poses, 2),
    Target("npz-by-hand", least_poses, change_arrays, read_poses, 2),
    Target("json", poses_file(".json"), change_json, read_poses, 2),
    Target("camera", document(lambda: CAMERA), change_json, Camera.load),
    Target("openpose", document(lambda: openpose_people(walkers(BODY25, 1)[0])), change_json, read_formats),
    Target("openpose-folder", openpose_files, change_json, lambda path: read_formats(path.parent), 0.5),
    Target("alphapose", document(alphapose_images), change_json, read_formats),
    Target("mmpose", document(mmpose_video), change_json, read_formats),
    Target("coco-keypoints", document(coco_keypoints), change_json, read_formats),
    Target("mediapipe", document(mediapipe_landmarks), change_json, read_formats),
    Target("mediapipe-csv", mediapipe_table, change_text, read_formats),
    Target("deeplabcut-csv", deeplabcut_table, change_text, read_formats),
    Target("trc", lambda folder: exported(folder / "a.trc", trc.write), change_text, read_formats),
    Target("movement", lambda folder: exported(folder / "a.nc", movement.write), change_bytes, read_formats),
    Target("arrays", lambda folder: saved(folder / "a.npz", a=walkers(COCO17, 3)), change_arrays, read_array),
)

# ------------------------------------------------------------------------------------------------ images


def picture(suffix: str) -> Callable[[Path], Path]:
    """Makes an image with an orientation."""

    def make(folder: Path) -> Path:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(corners(24, 16)).save(folder / f"a{suffix}", exif=exif)
        return folder / f"a{suffix}"

    return make


def clip(suffix: str, codec: str) -> Callable[[Path], Path]:
    """Makes a short video."""
    return lambda folder: make_video(folder / f"a{suffix}", 4, codec=codec)


def read_media(path: Path) -> int:
    """Every frame of a source, up to a hundred."""
    with open_media(path) as source:
        return sum(1 for _, _ in zip(source, range(100), strict=False))


def scene_record() -> synth_scenes.SceneRecord:
    """A scene of two people and a box."""
    generator = random()
    xy = generator.uniform(0, 60, (2, 26, 2))
    return synth_scenes.SceneRecord(
        number=0,
        seed=1,
        width=64,
        height=48,
        xyz=generator.uniform(1, 5, (2, 26, 3)),
        xy=xy,
        state=generator.integers(0, 3, (2, 26), np.uint8),
        cause=np.zeros((2, 26), np.uint8),
        occluder=np.full((2, 26), -1),
        box=np.full((2, 4), 9.0),
        root_depth=np.full(2, 4.0),
        shape=np.zeros((2, 6)),
        pose=np.tile(np.eye(3), (2, 17, 1, 1)),
        translation=np.zeros((2, 3)),
        objects=("box",),
        camera=np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]),
        rotation=np.eye(3),
        camera_position=np.zeros(3),
    )


def shard(folder: Path) -> Path:
    """A scene and its image in a .tar file."""
    return image_dataset_files.write_scenes(folder, [scene_record()], shard=1) / "shards" / "000000.tar"


def read_shard(path: Path) -> None:
    """The scenes and the images of a .tar file."""
    discovery.load_dataset(path)
    for image in ImageIndex(path).all():
        image.read()


IMAGES = (
    Target("png", picture(".png"), change_png, read_image),
    Target("jpg", picture(".jpg"), change_bytes, read_image),
    Target("webp", picture(".webp"), change_bytes, read_image, 0.5),
    Target("avif", picture(".avif"), change_bytes, read_image, 0.5),
    Target("tif", picture(".tif"), change_bytes, read_image),
    Target("bmp", picture(".bmp"), change_bytes, read_image, 0.5),
    Target("ppm", picture(".ppm"), change_bytes, read_image, 0.5),
    Target("mp4", clip(".mp4", "libx264"), change_bytes, read_media, 0.7),
    Target("avi", clip(".avi", "mpeg4"), change_bytes, read_media, 0.7),
    Target("mkv", clip(".mkv", "libx264"), change_bytes, read_media, 0.7),
    Target("tar", shard, change_tar, read_shard),
)

# ---------------------------------------------------------------------------------------------- datasets


def coco_file(folder: Path) -> Path:
    """Annotations beside an image."""
    people = [coco_files.annotation(id=number) for number in range(3)]
    return coco_files.write_people(folder, *people)


def read_coco(path: Path) -> None:
    """Annotations, by themselves and as a dataset."""
    coco.make_samples(coco.load(path, path.parent))
    discovery.find_dataset(path.parent)
    discovery.load_dataset(path.parent)


def coco_boxes() -> list[dict[str, Any]]:
    """A detector's results."""
    return [{"image_id": number, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9} for number in range(3)]


def smap_file() -> dict[str, Any]:
    """Images of SMAP's format."""
    xyz = image_dataset_files.bodies(random(), 2, 15)
    return {
        "root": [image_dataset_files.smap_image([image_dataset_files.smap_body(one, np.full(15, 2)) for one in xyz])]
    }


def h36m_file(folder: Path, kind: str) -> Path:
    """One of the three files of a subject."""
    image_dataset_files.write_h36m(folder, random())
    return folder / "annotations" / f"Human36M_subject1_{kind}.json"


def motion(folder: Path) -> Path:
    """A motion, with its skeleton beside it."""
    with_text(folder / "02.asf", asf())
    return with_text(folder / "02_01.amc", swinging(4))


def motion_skeleton(folder: Path) -> Path:
    """The skeleton of a motion."""
    motion(folder)
    return folder / "02.asf"


def joint_clips(folder: Path) -> Path:
    """CMU's clips of joint positions."""
    names = [*dict.fromkeys(cmu.BODY22_FROM_CLIPS.values())]
    return saved(folder / "a.npz", joint_names=names, fps=60.0, walk=random().normal(0, 1, (4, len(names), 3)))


def captured_joints(folder: Path) -> Path:
    """Other files of motion capture."""
    clip = np.rint(1000 * random().normal(0, 1, (4, 16, 3))).astype(np.int16)
    return write_joints(folder / "accad_30fps.npz", 30, walk=clip)


def sequence_3dpw(folder: Path) -> Path:
    """A sequence of 3DPW."""
    return saved(folder / "a.npz", **mupots_files.sequence_3dpw(random()))


def predictions(folder: Path) -> Path:
    """Predictions of two images."""
    return saved(
        folder / "a.npz",
        picture=np.array(["a.jpg", "b.jpg"]),
        people=np.array([2, 0]),
        skeleton="mpi15",
        unit="m",
        xyz=random().normal(0, 1, (2, 15, 3)),
        xy=random().uniform(0, 99, (2, 15, 2)),
    )


def scene(folder: Path) -> Path:
    """One scene of `occlupose synth`."""
    (folder / "scenes").mkdir()
    return with_text(folder / "scenes" / "000000.npz", scene_record().to_bytes())


def read_scene(path: Path) -> None:
    """A scene in both ways."""
    synth_scenes.SceneRecord.load(path)
    synth_scenes.load(path.parent.parent)


def pickled_motions(folder: Path) -> Path:
    """Nested dictionaries, as VideoPose3D's files have them."""
    return saved(folder / "a.npz", positions_3d={"S1": {"Walking": random().normal(0, 1, (3, 17, 3))}})


def mupots_file(folder: Path) -> Path:
    """Annotations of one sequence."""
    mupots_files.write_mupots(folder)
    return folder / "MultiPersonTestSet" / "TS1" / "annot.mat"


DATASETS = (
    Target("coco", coco_file, change_json, read_coco, 2),
    Target("coco-boxes", document(coco_boxes), change_json, coco_results.load_boxes),
    Target("muco", document(lambda: image_dataset_files.muco(random())[0]), change_json, muco.load),
    Target("smap", document(smap_file), change_json, smap.load),
    Target(
        "h36m-images", lambda at: h36m_file(at, "data"), change_json, lambda at: h36m_images.load(at.parent.parent), 0.5
    ),
    Target(
        "h36m-joints", lambda at: h36m_file(at, "joint_3d"), change_json, lambda at: h36m_images.load(at.parent), 0.5
    ),
    Target(
        "cameras",
        lambda folder: with_text(folder / "cameras.json", cameras_json(["54138969", "55011271"])),
        change_json,
        lambda path: read_cameras_file(path, ("S1", "S9")),
    ),
    Target("amc", motion, change_text, cmu.read_clip),
    Target("asf", motion_skeleton, change_text, lambda path: cmu.read_clip(path.with_name("02_01.amc"))),
    Target("cmu-clips", joint_clips, change_arrays, cmu.read_clips),
    Target("mocap-joints", captured_joints, change_arrays, mocap_joints.load_joints),
    Target("3dpw", sequence_3dpw, change_arrays, lambda path: threedpw.load(path.parent)),
    Target(
        "predictions", predictions, change_arrays, lambda at: ImagePredictions.load(at, mupots_files.nobody("a.jpg"))
    ),
    Target("scene", scene, change_arrays, read_scene),
    Target("pickled", pickled_motions, change_archive, lambda path: read_pickled(path, "positions_3d")),
    Target("mat", mupots_file, change_bytes, lambda path: mupots.load(path.parents[2]), 0.15),
)

# ---------------------------------------------------------------------------------------------- networks


def lifter_weights(folder: Path) -> Path:
    """Weights of a small lifter."""
    network = LifterNetwork(16, 1)
    lifter.save(network.state_dict(), network, folder / "a.safetensors")
    return folder / "a.safetensors"


def checkpoint(folder: Path) -> Path:
    """Weights of another project."""
    torch.save({"state_dict": {"backbone.conv1.weight": torch.ones(3, 4), "meta": 3}}, folder / "a.pth")
    return folder / "a.pth"


def training_run(folder: Path) -> Path:
    """The checkpoint of a run that is finished, beside its log."""
    resume(folder / "last.pt")
    return folder / "last.pt"


def resume(path: Path) -> None:
    """Continues a run of two steps, or begins it."""
    train(
        nn.Linear(2, 1),
        lambda generator: torch.rand(1, 2, generator=generator),
        lambda network, batch: {"loss": network(batch).square().mean()},
        Optimisation(steps=2, save_every=1, log_every=1),
        path.parent,
        resume=True,
        progress=False,
    )


def onnx_network(folder: Path) -> Path:
    """A network that gives heatmaps, with its card."""
    json_file(folder / "a.json", CARD)
    return constant(folder / "a.onnx", {"output": np.ones((1, 17, 16, 12), np.float32)})


def read_network(path: Path) -> None:
    """A network, tried out."""
    OnnxSession(path, threads=1).try_out(48, 64)


CARD = {"codec": "heatmap", "skeleton": "coco17", "width": 48, "height": 64, "mean": [0, 0, 0], "padding": 1.25}
PIPELINE = {
    "pipeline": {
        "tasks": [
            {"module": "Transform", "transforms": [{"type": "TopDownAffine", "image_size": [48, 64], "padding": 1.25}]},
            {"name": "hrnet", "module": "Net", "output_map": {"output": "heatmaps"}},
            {"module": "mmpose", "component": "HeatmapHead", "params": {"type": "MSRAHeatmap"}},
        ]
    }
}

NETWORKS = (
    Target("safetensors", lifter_weights, change_safetensors, lifter.load),
    Target("pth", checkpoint, change_archive, checkpoints.read),
    Target("training", training_run, change_archive, resume, 0.5),
    Target("training-log", lambda folder: training_run(folder).with_name("log.csv"), change_text, resume, 0.5),
    Target("card", document(lambda: CARD), change_json, load_card),
    Target(
        "mmdeploy",
        lambda folder: json_file(folder / "pipeline.json", PIPELINE),
        change_json,
        lambda path: read_export(path.parent),
    ),
    Target("onnx", onnx_network, change_bytes, read_network),
    Target(
        "recipe",
        document(lambda: recipe.to_json(Optimisation())),
        change_json,
        lambda path: recipe.read(path, {"usual": Optimisation()}),
    ),
    Target("noise", lambda folder: with_text(folder / "a.json", SHIPPED.read_bytes()), change_json, NoiseModel.load),
)


# ---------------------------------------------------------------------------------------------- archives


def finished_run(folder: Path) -> Path:
    """What a run wrote about itself, beside its poses."""
    video = with_text(folder / "a.mp4", "a video")
    output = OutputFolder(folder, str(video))
    output.prepare(["poses.npz"], settings={"every": 1}, content=stamp([video]))
    record(frames=2).save(folder / "poses.npz")
    output.finish(["poses.npz"], result={"seconds": 1.5, "frames": 2})
    return folder / "run.json"


def read_run(path: Path) -> None:
    """Looks whether a run is finished, and whose poses there are."""
    video = path.with_name("a.mp4")
    output = OutputFolder(path.parent, str(video))
    found = output.find_finished([video], {"every": 1}) or output.recognise_finished([video], {"every": 1})
    if found is not None:
        skipped(found)
    output.check_owner()


def inputs_of(path: Path) -> None:
    """The inputs that a list or a manifest names."""
    named = {"manifest": path} if path.suffix == ".csv" else {"list_file": path}
    requests = read_requests([], named.get("list_file"), named.get("manifest"), RunOptions())
    find_jobs(requests, [find(request.text) for request in requests], path.parent / "out")


MANIFEST = 'input,output,start,end,height,fov,up\nv/a.mp4,a,0:10,1:20.5,1.75,60,"0,-1,0"\nv/b c.mp4,b,,,1.8,,\n'

ARCHIVES = (
    Target("run", finished_run, change_json, read_run),
    Target("manifest", lambda folder: with_text(folder / "a.csv", MANIFEST), change_text, inputs_of),
    Target("list", lambda folder: with_text(folder / "a.txt", "v/a.mp4\nv/b c.mp4\n"), change_text, inputs_of, 0.5),
)

ALL = {target.name: target for target in (*POSES, *IMAGES, *DATASETS, *NETWORKS, *ARCHIVES)}


def choose(count: int, *, names: Iterable[str] = ()) -> list[str]:
    """Names of targets for so many inputs, spread by their shares; those of `names` alone."""
    chosen = [ALL[name] for name in names] or list(ALL.values())
    done = dict.fromkeys((target.name for target in chosen), 0)
    shares = {target.name: target.share for target in chosen}
    order = []
    for _ in range(count):
        name = min(done, key=lambda each: (done[each] + 1) / shares[each])
        done[name] += 1
        order.append(name)
    return order
