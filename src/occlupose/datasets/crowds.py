"""Everybody in a picture, in pixels and depth, as bottom-up networks learn them: one record, whatever dataset it is of.

`crowd_places` finds and reads the datasets.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from occlupose.cameras import Camera
from occlupose.datasets.coco import MISSING, Annotations, Person
from occlupose.datasets.pictures import Picture, Shelf
from occlupose.datasets.problems import Problems
from occlupose.errors import OccluposeError
from occlupose.poses import ABSENT
from occlupose.skeletons import MPI15, Skeleton, convert, convert_weakest

NECK = 0.185
"""How far above the middle of the shoulders the neck is made, as a share of the way from the hips to there (SMAP's and
HUPOR's code).
"""

FEWEST = 3
"""Annotated joints of somebody who is learnt from, where a dataset has no depths (SMAP's and HUPOR's code)."""

FEW = f"people with fewer than {FEWEST} annotated joints, left out"
ALONE = "pictures that are not there, none of this dataset: labels alone"
NOBODY = "people without a joint in their picture, left out"

SHOWN = 20
"""Pictures that are looked for in a folder before it is taken to have none."""


@dataclass(frozen=True, eq=False)
class Crowd:
    """Everybody in a picture; MPI15 joints.

    Attributes:
        picture: where it is; None where there are labels alone.
        size: width and height of the picture, px.
        xy: joints, px, pixel centres at integers; NaN where the state is 0.
        z: depth of joints in the camera's frame, m; NaN where it is not known, or the state is 0.
        state: v: 2 visible, 1 occluded, 0 absent.
        annotated: joints that the dataset says something of at all: COCO has no tops of heads, and where none is said
            there may be one.
        camera: that took the picture; None where nobody knows.
    """

    picture: Picture | None
    size: tuple[int, int]
    xy: Float[np.ndarray, "person 15 2"]
    z: Float[np.ndarray, "person 15"]
    state: UInt8[np.ndarray, "person 15"]
    annotated: Bool[np.ndarray, "15"]
    camera: Camera | None = None

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def deep(self) -> bool:
        """Whether depths can be learnt from it: they need the camera."""
        return self.camera is not None


def crowd(
    picture: Picture | None,
    size: tuple[int, int],
    xy: Float[np.ndarray, "person 15 2"],
    z: Float[np.ndarray, "person 15"],
    state: UInt8[np.ndarray, "person 15"],
    *,
    annotated: Bool[np.ndarray, "15"] | None = None,
    camera: Camera | None = None,
) -> Crowd:
    """Everybody who has a joint in the picture: joints outside of it are absent, depths that are not before the camera
    are not known.

    Arguments:
        xy, z: anything where the state is 0.
        annotated: None is all of them.
    """
    with np.errstate(invalid="ignore"):
        inside = ((xy >= -0.5) & (xy < np.array(size) - 0.5)).all(-1) & (state != ABSENT)
        deep = inside & (z > 0) & np.isfinite(z)
    here = inside.any(-1)
    return Crowd(
        picture=picture,
        size=size,
        xy=np.where(inside[..., None], xy, np.nan)[here].astype(np.float32),
        z=np.where(deep, z, np.nan)[here].astype(np.float32),
        state=np.where(inside, state, ABSENT)[here].astype(np.uint8),
        annotated=np.ones(len(MPI15), bool) if annotated is None else annotated,
        camera=camera,
    )


def from_coco(given: Annotations) -> list[Crowd]:
    """People of COCO, CrowdPose, OCHuman and the like, by pictures: no depths, no cameras.

    Joints are those of the same names. A pelvis is the middle of the hips, and as visible as the less visible of them;
    a neck lies NECK above the middle of the shoulders, as visible as the least of pelvis and shoulders; other joints
    that the dataset lacks are not `annotated` (COCO's top of the head). Whoever has fewer than FEWEST joints is left
    out, as the authors do, and so are pictures in which nobody is left.

    Raises:
        OccluposeError: the annotations do not say how large a picture is.
    """
    people = defaultdict[Picture, list[Person]](list)
    for person in given.people:
        if (person.state != ABSENT).sum() >= FEWEST:
            people[person.picture].append(person)
        else:
            given.problems.note(FEW, f"annotation {person.id}")
    return [_coco(picture, group, given.skeleton, given.truth.path) for picture, group in people.items()]


def _coco(picture: Picture, people: list[Person], skeleton: Skeleton, path: Path) -> Crowd:
    size = people[0].size
    if size is None:
        raise OccluposeError(f"{path}: no width and height of {picture.name}; give annotations that say them")
    state = np.stack([person.state for person in people])
    xy = np.where(state[..., None] != ABSENT, np.stack([person.xy for person in people]), np.nan)
    joints = convert(xy, skeleton, MPI15)
    states = convert_weakest(state, skeleton, MPI15)
    neck, pelvis, *shoulders = MPI15.index("neck", "pelvis", "left_shoulder", "right_shoulder")
    if not {"neck", "thorax"} & {*skeleton.joints}:
        middle = joints[:, shoulders].mean(1)
        joints[:, neck] = middle + NECK * (middle - joints[:, pelvis])
        states[:, neck] = states[:, [pelvis, *shoulders]].min(1)
    can = convert_weakest(np.ones(len(skeleton), bool), skeleton, MPI15)
    return crowd(picture, size, joints, np.full(states.shape, np.nan), states, annotated=can)


def find_pictures(names: Iterable[str], places: Sequence[Path], problems: Problems) -> dict[str, Picture | None]:
    """Where the pictures of these names are; those that are not there are missing from the answer, and counted.

    Arguments:
        places: folders that the names may be relative to; the first in which one of the first pictures lies is taken.
            Where none has any, every picture is None: there are labels alone.
    """
    wanted = list(dict.fromkeys(names))
    for place in places:
        shelf = Shelf(place)
        if any(shelf.find(name) for name in wanted[:SHOWN]):
            found = {name: shelf.find(name) for name in wanted}
            for name, picture in found.items():
                if picture is None:
                    problems.add(MISSING, name)
            return {name: picture for name, picture in found.items() if picture is not None}
    for name in wanted:
        problems.note(ALONE, name)
    return dict.fromkeys(wanted)
