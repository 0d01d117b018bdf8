"""Small images of people with COCO's or CrowdPose's joints, and a recipe that learns them quickly."""

from dataclasses import replace

import cv2
import numpy as np

from bottom_up_networks import DESIGN
from coco_files import annotation, write_json
from occlupose.datasets.augmentation import BottomUpAugmentation
from occlupose.datasets.formats import coco
from occlupose.media import write_image
from occlupose.methods.hupor.bases.recipe import (
    DetectorRecipe,
    HigherHRNetDSEDRecipe,
    HigherHRNetRecipe,
    HUPORDSEDRecipe,
    PifPafDSEDRecipe,
    PifPafRecipe,
)
from occlupose.skeletons import COCO17

SIZE = (64, 64)
STILL = BottomUpAugmentation(rotation=0, flip_probability=0, scale=(1, 1), shift=0)
TINY = HigherHRNetDSEDRecipe(
    name="tiny",
    design=DESIGN,
    higherhrnet=HigherHRNetRecipe(epochs=2, batch=2),
    augmentation=STILL,
    epochs=2,
    batch=2,
    warm_up_steps=1,
)


PIFPAF = PifPafDSEDRecipe(
    name="tiny",
    design=replace(DESIGN, base="pifpaf_small"),
    pifpaf=PifPafRecipe(epochs=2, batch=2, warm_up_steps=1),
    augmentation=STILL,
    epochs=2,
    batch=2,
    warm_up_steps=1,
)


HUPOR = HUPORDSEDRecipe(
    name="tiny",
    design=replace(DESIGN, base="hupor_small"),
    hupor=DetectorRecipe(epochs=2, batch=2, warm_up_steps=1),
    augmentation=STILL,
    epochs=2,
    batch=2,
    warm_up_steps=1,
)


def colours(joints):
    """A colour for each joint."""
    hue = np.linspace(0, 170, joints).astype(np.uint8)
    hsv = np.stack([hue, np.full_like(hue, 255), np.full_like(hue, 255)], -1)[None]
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]


def write_people(folder, skeleton=COCO17, images=3, people=2, seed=0, hidden=0.3):
    """Annotations and images: visible joints are dots of their colour, hidden ones are not painted. Joints of one kind
    keep apart; nothing lies at the border.
    """
    random = np.random.default_rng(seed)
    joints = len(skeleton)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    content["categories"][0]["keypoints"] = list(skeleton.joints)
    for number in range(1, images + 1):
        image = np.full((*SIZE[::-1], 3), 60, np.uint8)
        for person in range(people):
            width = SIZE[0] / people
            xy = random.uniform((person * width + 6, 6), ((person + 1) * width - 6, SIZE[1] - 6), (joints, 2)).round()
            v = np.where(random.random(joints) < hidden, 1, 2)
            for joint in np.flatnonzero(v == 2):
                cv2.circle(image, xy[joint].astype(int).tolist(), 2, colours(joints)[joint].tolist(), -1)
            box = [*(xy.min(0) - 2), *(np.ptp(xy, axis=0) + 4)]
            keypoints = np.concatenate([xy, v[:, None]], -1).ravel().tolist()
            about = {"id": 10 * number + person, "image_id": number, "bbox": [float(each) for each in box]}
            content["annotations"].append(annotation(joints) | about | {"keypoints": keypoints, "area": 900.0})
        name = f"{number:03}.png"
        write_image(folder / "images" / name, image)
        content["images"].append({"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
    return write_json(folder / "annotations.json", content)


def load_people(folder, **options):
    """The same, read as annotations."""
    return coco.load(write_people(folder, **options), folder / "images")


def recipe_with(**changes):
    """TINY with another design."""
    return replace(TINY, design=replace(DESIGN, **changes))
