"""Small datasets of people in images, written for tests in the real files of COCO, OCHuman, CrowdPose and `occlupose
synth`.
"""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask

from occlupose.media import write_image
from occlupose.skeletons import COCO17, CROWDPOSE14

JOINTS = {
    "coco": list(COCO17.joints),
    "ochuman": list(COCO17.joints),
    "crowdpose": [*CROWDPOSE14.joints[:12], "head", "neck"],
}
JOINTS["synth"] = JOINTS["coco"]
SIGMAS = {"coco": np.array(COCO17.sigmas), "crowdpose": np.array(CROWDPOSE14.sigmas)}
SIZE = (120, 96)
"""Width and height of the images."""


def person(kind: str, generator: np.random.Generator, *, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    """A person as the dataset annotates them, without ids: joints anywhere in a box, each seen, hidden or not
    annotated.
    """
    count = len(JOINTS[kind])
    width, height = (generator.uniform(0.2, 0.8, 2) * size).round(2).tolist()
    left, top = (generator.uniform(0, 1, 2) * (np.array(size) - (width, height))).round(2).tolist()
    v = generator.choice([0, 1, 2], count, p=[0.2, 0.25, 0.55])
    v[generator.integers(count)] = 2
    xy = (generator.uniform(0, 1, (count, 2)) * (width, height) + (left, top)).round(1) * (v > 0)[:, None]
    keypoints = np.concatenate([xy, v[:, None]], -1).ravel().tolist()
    about = {
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [left, top, width, height],
        "keypoints": keypoints,
        "num_keypoints": int((v > 0).sum()),
    }
    if kind == "crowdpose":
        return about | {"num_keypoints": int((v[:12] > 0).sum())}  # it does not count head and neck
    about["area"] = round(width * height * generator.uniform(0.3, 0.8), 3)
    corners = [[left, top, left + width, top, left + width, top + height, left, top + height]]
    if kind == "coco":
        return about | {"segmentation": corners}
    code = mask.frPyObjects(corners, size[1], size[0])[0]
    return about | {"segmentation": {"size": list(code["size"]), "counts": code["counts"].decode()}}


def crowd_region(generator: np.random.Generator, *, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    """A region of several people as COCO has it: run lengths, no joints."""
    left = 10
    top = 8
    width = int(generator.integers(20, 60))
    height = int(generator.integers(20, 60))
    inside = np.zeros(size[::-1], np.uint8)
    inside[top : top + height, left : left + width] = 1
    flat = np.concatenate([[0], inside.T.ravel(), [0]])
    lengths = np.diff(np.flatnonzero(np.diff(flat) != 0), prepend=0, append=inside.size).tolist()
    return {
        "category_id": 1,
        "iscrowd": 1,
        "bbox": [left, top, width, height],
        "area": width * height,
        "num_keypoints": 0,
        "keypoints": [0] * 3 * len(JOINTS["coco"]),
        "segmentation": {"size": list(inside.shape), "counts": lengths},
    }


def document(
    kind: str,
    generator: np.random.Generator,
    *,
    images: int = 4,
    most: int = 4,
    size: tuple[int, int] = SIZE,
    named: str = "{:06}.jpg",
) -> dict[str, Any]:
    """A whole file: some images without people, people without joints, some crowd regions in COCO and OCHuman."""
    image_entries = []
    people = []
    for number in range(1, images + 1):
        entry = {"id": number, "file_name": named.format(number), "width": size[0], "height": size[1]}
        if kind == "crowdpose":
            entry["crowdIndex"] = round(float(generator.uniform(0, 1)), 2)
        image_entries.append(entry)
        for _ in range(generator.integers(0, most + 1)):
            annotation = person(kind, generator, size=size)
            if generator.random() < 0.1:
                annotation |= {"keypoints": [0] * len(annotation["keypoints"]), "num_keypoints": 0}
            people.append(annotation | {"image_id": number})
        if kind in ("coco", "ochuman") and generator.random() < 0.2:
            people.append(crowd_region(generator, size=size) | {"image_id": number})
    for number, annotation in enumerate(people, 1001):
        annotation["id"] = number
    category = {
        "supercategory": "person",
        "id": 1,
        "name": "person",
        "keypoints": JOINTS[kind],
        "skeleton": [[1, 2], [2, 3]],
    }
    about = {
        "coco": "COCO 2017 Dataset",
        "ochuman": "OCHuman",
        "crowdpose": "",
        "synth": "synthetic people of occlupose",
    }[kind]
    return {"info": {"description": about}, "images": image_entries, "annotations": people, "categories": [category]}


def drawing(generator: np.random.Generator, *, size: tuple[int, int] = SIZE) -> np.ndarray:
    """An image (height, width, 3) with something in it: blurred blots, other for each draw."""
    coarse = generator.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)


def write_images(folder: Path, content: dict[str, Any], generator: np.random.Generator) -> None:
    """Writes the images that an annotation file lists."""
    for image in content["images"]:
        write_image(folder / image["file_name"], drawing(generator, size=(image["width"], image["height"])))


def write_shards(folder: Path, content: dict[str, Any], generator: np.random.Generator, *, each: int = 2) -> None:
    """The same in .tar files, a record beside each image, as `occlupose synth --shard` writes them."""
    folder.mkdir(parents=True)
    for first in range(0, len(content["images"]), each):
        with tarfile.open(folder / f"{first // each:06}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for image in content["images"][first : first + each]:
                jpeg = cv2.imencode(".jpg", drawing(generator, size=(image["width"], image["height"]))[..., ::-1])[
                    1
                ].tobytes()
                for name, data in (
                    (image["file_name"], jpeg),
                    (image["file_name"].replace(".jpg", ".npz"), b"a record"),
                ):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def write_json(path: Path, content: Any) -> Path:
    """JSON, and the folder for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def boxes(content: dict[str, Any]) -> list[dict[str, Any]]:
    """A detector's results that find everybody."""
    people = (person for person in content["annotations"] if not person["iscrowd"])
    return [{"image_id": each["image_id"], "category_id": 1, "bbox": each["bbox"], "score": 0.9} for each in people]


def annotation(joints: int = 17, **changes: Any) -> dict[str, Any]:
    """A person all of whose joints are visible."""
    keypoints = [number for joint in range(joints) for number in (joint, 2 * joint, 2)]
    return {
        "id": 7,
        "image_id": 1,
        "category_id": 1,
        "bbox": [2, 3, 20, 40],
        "iscrowd": 0,
        "keypoints": keypoints,
    } | changes


def write_people(
    folder: Path, *annotations: dict[str, Any], joints: Sequence[str] = COCO17.joints, **changes: Any
) -> Path:
    """A file with these people, all in one black image."""
    write_image(folder / "a.png", np.zeros((48, 32, 3), np.uint8))
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 48}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(joints)}],
        "annotations": list(annotations),
    }
    return write_json(folder / "people.json", content | changes)


def write_coco(folder: Path, seed: int = 0) -> Path:
    """COCO as it is unpacked: train and val, and detections of val. Returns the folder."""
    generator = np.random.default_rng(seed)
    for split in ("train2017", "val2017"):
        content = document("coco", generator, named="{:012}.jpg" if split == "train2017" else "{:012}.png")
        write_json(folder / "annotations" / f"person_keypoints_{split}.json", content)
        write_json(
            folder / "annotations" / f"instances_{split}.json", content | {"categories": [{"id": 1, "name": "person"}]}
        )
        write_images(folder / split, content, generator)
    write_json(folder / "person_detection_results" / "COCO_val2017_detections_AP_H_56_person.json", boxes(content))
    return folder


def write_crowdpose(folder: Path, seed: int = 0, *, json_folder: str = "json") -> Path:
    """CrowdPose as it is unpacked: trainval and test, and detections of test. Returns the folder."""
    generator = np.random.default_rng(seed)
    for number, split in enumerate(("trainval", "test"), 1):
        content = document("crowdpose", generator, named=f"{number}{{:05}}.jpg")
        write_json(folder / json_folder / f"crowdpose_{split}.json", content)
        write_images(folder / "images", content, generator)
    write_json(folder / json_folder / "det_for_crowd_test_0.1_0.5.json", boxes(content))
    return folder


def write_ochuman(folder: Path, seed: int = 0) -> Path:
    """OCHuman as it is unpacked: val and test. Returns the folder."""
    generator = np.random.default_rng(seed)
    for number, split in enumerate(("val", "test"), 1):
        content = document("ochuman", generator, named=f"{number}{{:05}}.jpg")
        write_json(folder / f"ochuman_coco_format_{split}_range_0.00_1.00.json", content)
        write_images(folder / "images", content, generator)
    return folder


def write_synth(folder: Path, seed: int = 0, *, shards: bool = True) -> Path:
    """What `occlupose synth` leaves, with or without shards. Returns the folder."""
    generator = np.random.default_rng(seed)
    content = document("synth", generator, images=5)
    write_json(folder / "annotations.json", content)
    write_json(folder / "manifest.json", {"files": []})
    write_json(folder / "settings.json", {"version": 1})
    (write_shards if shards else write_images)(folder / ("shards" if shards else "images"), content, generator)
    return folder


def guesses(
    kind: str, content: dict[str, Any], generator: np.random.Generator, *, most: int = 4, scores: int = 0
) -> list[dict[str, Any]]:
    """Random predictions in COCO's results format, near and far from people, and of nobody.

    Arguments:
        most: of a person or of an image without any.
        scores: different scores that there are; 0 for any.
    """
    results = []
    by_image = {
        image["id"]: [each for each in content["annotations"] if each["image_id"] == image["id"]]
        for image in content["images"]
    }
    for image in content["images"]:
        for annotation in by_image[image["id"]] or [person(kind, generator)]:
            joints = np.array(annotation["keypoints"], float).reshape(-1, 3)
            for _ in range(generator.integers(0, most + 1)):
                xy = joints[:, :2] + generator.normal(0, generator.choice([0.0, 0.5, 2, 10]), (len(joints), 2))
                score = generator.integers(1, scores + 1) / scores if scores else generator.random()
                keypoints = np.concatenate([xy, generator.random((len(joints), 1))], -1).ravel().tolist()
                results.append(
                    {"image_id": image["id"], "category_id": 1, "keypoints": keypoints, "score": float(score)}
                )
    order = generator.permutation(len(results))
    return [results[number] for number in order]
