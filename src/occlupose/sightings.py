"""What is known of people while they are being watched: who was seen in each frame, and the record that becomes of it.

Every method that watches gives sightings; `pipeline` and `bottomup` are two.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from occlupose import lifting
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.frontends import Frontend
from occlupose.lifting import TAIL, assumed_camera
from occlupose.media import Source
from occlupose.poses import Poses
from occlupose.skeletons import Skeleton


@dataclass(frozen=True)
class Sighting:
    """The people of one frame, with who they are and how far each joint can be believed.

    Attributes:
        xyz: m, camera frame, of methods that know it at once.
    """

    time: float
    ids: Int[np.ndarray, " person"]
    xy: Float[np.ndarray, "person joint 2"]
    evidence: Float[np.ndarray, "person joint"]
    state: UInt8[np.ndarray, "person joint"]
    xyz: Float[np.ndarray, "person joint 3"] | None = None


@dataclass
class Record:
    """Sightings of a span of frames, as arrays when asked for.

    Attributes:
        camera: in whose frame the sightings are in space, if they are.
    """

    skeleton: Skeleton
    fps: float
    width: int
    height: int
    sightings: list[Sighting] = field(default_factory=list)
    camera: Camera | None = None

    @classmethod
    def of(cls, source: Source, frontend: Frontend) -> "Record":
        """An empty one, for what this frontend will see in this source."""
        return cls(frontend.skeleton, source.fps, source.width, source.height)

    @property
    def ids(self) -> list[int]:
        """Everybody seen in it."""
        return sorted({int(who) for sighting in self.sightings for who in sighting.ids})

    def poses(self) -> Poses:
        """The sightings as one record: everybody seen in them, by id; in 2D, or with a camera in 3D."""
        sightings = self.sightings
        ids = self.ids
        column = {who: number for number, who in enumerate(ids)}
        shape = (len(sightings), len(ids), len(self.skeleton))
        xy = np.full((*shape, 2), np.nan, np.float32)
        score = np.zeros(shape, np.float32)
        state = np.zeros(shape, np.uint8)
        xyz = None if self.camera is None else np.full((*shape, 3), np.nan, np.float32)
        for frame, sighting in enumerate(sightings):
            columns = [column[int(who)] for who in sighting.ids]
            xy[frame, columns] = sighting.xy
            score[frame, columns] = sighting.evidence
            state[frame, columns] = sighting.state
            if xyz is not None and sighting.xyz is not None:
                xyz[frame, columns] = sighting.xyz
        time = np.array([sighting.time for sighting in sightings])
        return Poses(
            xy=xy,
            score=score,
            state=state,
            xyz=xyz,
            track_id=np.array(ids, np.int64),
            time=time,
            skeleton=self.skeleton,
            fps=self.fps,
            width=self.width,
            height=self.height,
            camera=self.camera,
        )


class Places:
    """Which people may be given out where only so many are wanted: who came first, each until the tracker would forget
    them.

    Arguments:
        most: at most so many in a frame; None: everybody.
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.taken: dict[int, float] = {}

    def __call__(self, ids: Int[np.ndarray, " person"], time: float) -> Bool[np.ndarray, " person"]:
        """Who of a frame's people is given out; those without an id (-1) never are."""
        self.taken = {who: seen for who, seen in self.taken.items() if time - seen <= TAIL}
        for who in sorted(ids[ids > 0].tolist()):
            if who in self.taken or self.most is None or len(self.taken) < self.most:
                self.taken[who] = time
        return np.isin(ids, list(self.taken))


def camera_of(
    source: Source,
    *,
    max_people: int | None = None,
    camera: Camera | None = None,
    fov: float | None = None,
    height: float | None = None,
) -> Camera:
    """The camera of a source: the one given, else by `fov`, degrees on the long side, else with 55, marked as assumed.

    Raises:
        OccluposeError: what is said of camera and people cannot be.
    """
    lifting.check(height, fov)
    if max_people is not None and max_people < 1:
        raise OccluposeError(f"max_people {max_people}: nobody could be found; give 1 or more")
    if camera is not None and (camera.width, camera.height) != (source.width, source.height):
        sizes = f"{source.width} x {source.height}, not the {camera.width} x {camera.height} of the camera"
        raise OccluposeError(f"{source.name}: its pictures are {sizes}; give the camera that took them")
    return camera or assumed_camera(source.width, source.height, fov)
