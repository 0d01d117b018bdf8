"""BlazePose for every person in the image.

Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking". The paper follows one person; detecting
several is ours.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from occlupose.assets import blazepose_weights
from occlupose.codecs.crops import Regions, crop_matrices, invert, similarity, transform_points
from occlupose.frontends.blazepose_detector import BlazePoseDetector
from occlupose.frontends.search import Tile
from occlupose.frontends.tflite import TFLiteNetwork, check_installed
from occlupose.frontends.topdown import KNOWN_SIMILARITY, FoundRegions, RegionEstimates, TopDown
from occlupose.pyramid import Pyramid
from occlupose.skeletons import BLAZEPOSE33, COCO17

SIZE = 256  # px, side of the landmark network's input
CERTAIN_PRESENCE = 0.85  # above it a person is painted over in the search for others
LIMBS = np.array([COCO17.index(*limb) for limb in COCO17.limbs])
MARGIN = 1.25  # of the landmark network's input around the body's circle
CENTRE_AND_TOP = [33, 34]  # the two auxiliary landmarks that give the next frame's region
SHOULDERS = BLAZEPOSE33.index("left_shoulder", "right_shoulder")
HIPS = BLAZEPOSE33.index("left_hip", "right_hip")
JOINTS = BLAZEPOSE33.index(*COCO17.joints)
LANDMARKS = len(BLAZEPOSE33) + 6  # with the auxiliary ones
CELLS = 64  # on a side of the heatmap
STRIDE = SIZE / CELLS  # px between its cells
WINDOW = np.mgrid[-3:4, -3:4].reshape(2, -1).T  # cells around a landmark, x and y
MIN_CONFIDENCE = 0.5  # of the heatmap, 0..1; below it a landmark is not refined
OUTPUTS = {"landmarks": (5 * LANDMARKS,), "presence": (1,), "heatmaps": (CELLS, CELLS, LANDMARKS)}


class BlazePose(TopDown):
    """BlazePose's detector and landmark network, for several people, with COCO-17 joints.

    Arguments:
        landmarks: file of another landmark network of BlazePose, such as pose_landmark_heavy.tflite.
        threads: processor threads of each network.
        others: see TopDown.

    Raises:
        OccluposeError: ai-edge-litert is not installed; the weights are not in the cache and cannot be downloaded;
            `landmarks` is another network.
    """

    skeleton = COCO17
    tile_sides = (0.7, 0.45, 0.25)  # the detector finds people of a third to four fifths of a tile's height (measured)
    min_tile = 0
    first_side = 0
    tile_overlap = 0.5

    def __init__(
        self,
        landmarks: Path | None = None,
        *,
        threads: int = 2,
        detect_every: float = 1 / 3,
        search_every: float = 1 / 15,
        max_people: int | None = None,
        tiled: bool = True,
    ) -> None:
        check_installed()
        weights = blazepose_weights()
        self.name = "blazepose" if landmarks is None else f"blazepose:{landmarks}"
        self.landmarks = TFLiteNetwork(
            landmarks or weights["landmarks"], size=SIZE, outputs=OUTPUTS, threads=threads, divisor=255
        )
        self.detector = BlazePoseDetector(weights["detector"], threads=threads)
        super().__init__(detect_every=detect_every, search_every=search_every, max_people=max_people, tiled=tiled)

    def find(self, image: Pyramid, tiles: list[Tile], known: RegionEstimates, *, hide: bool = False) -> FoundRegions:
        mask = known.xy[known.presence > CERTAIN_PRESENCE][:, LIMBS] if hide else None
        found = self.detector(image, tiles, mask=mask)
        new = found[similarity(found[:, None], known.regions).max(1, initial=0) < KNOWN_SIMILARITY]
        return new, np.full(len(new), np.nan)

    def estimate(self, image: Pyramid, regions: Regions) -> RegionEstimates:
        matrices = crop_matrices(regions, SIZE, SIZE, diameter=SIZE / MARGIN)
        crops = [image.crop(matrix, SIZE, SIZE) for matrix in matrices]
        landmarks, score, presence = self.find_landmarks(crops)
        xy = transform_points(invert(matrices), landmarks)
        following = xy[:, CENTRE_AND_TOP].reshape(-1, 4)
        return RegionEstimates(xy[:, JOINTS], score[:, JOINTS], presence * _upright(xy, following), following)

    def find_landmarks(
        self, crops: Sequence[UInt8[np.ndarray, "256 256 3"]]
    ) -> tuple[
        Float[np.ndarray, "person landmark 2"], Float[np.ndarray, "person landmark"], Float[np.ndarray, " person"]
    ]:
        """The landmarks of people in RGB crops, px, those of BLAZEPOSE33 first; their confidence, and that there is a
        person, 0..1.
        """
        outputs = [self.landmarks(crop) for crop in crops]
        landmarks = np.array([output["landmarks"] for output in outputs], np.float64).reshape(-1, LANDMARKS, 5)
        heatmaps = np.array([output["heatmaps"] for output in outputs]).reshape(-1, CELLS, CELLS, LANDMARKS)
        presence = np.array([output["presence"][0] for output in outputs], np.float64)
        xy = refine_landmarks(landmarks[..., :2], heatmaps) - 0.5
        return xy, _sigmoid(landmarks[..., 3]) * _sigmoid(landmarks[..., 4]), presence


def refine_landmarks(
    xy: Float[np.ndarray, "person landmark 2"], heatmaps: Float[np.ndarray, "person 64 64 landmark"]
) -> Float[np.ndarray, "person landmark 2"]:
    """Landmarks moved to the centroid of the heatmap's confidence in the 7 x 7 cells around them.

    MediaPipe's RefineLandmarksFromHeatmap. Cell i is at 4 i px. A landmark stays as it is where it lies outside of the
    crop or the heatmap is nowhere confident.

    Arguments:
        xy: landmarks, input px, pixel edges.
        heatmaps: of each landmark (y, x), logits.
    """
    centre = np.floor(xy / STRIDE).astype(int)
    cells = centre[..., None, :] + WINDOW
    person, landmark, _ = np.ogrid[: len(xy), : xy.shape[1], :1]
    x, y = np.moveaxis(cells.clip(0, CELLS - 1), -1, 0)
    confidence = _sigmoid(heatmaps[person, y, x, landmark].astype(float)) * _within(cells)
    refine = _within(centre) & (confidence.max(-1) >= MIN_CONFIDENCE)
    centroid = (confidence[..., None] * cells).sum(-2) / np.where(refine, confidence.sum(-1), 1)[..., None]
    return np.where(refine[..., None], STRIDE * centroid, xy)


def _within(cells: Int[np.ndarray, "*axes 2"]) -> Bool[np.ndarray, "*axes"]:
    """Whether cells are in the heatmap."""
    return np.all((cells >= 0) & (cells < CELLS), axis=-1)


def _upright(xy: Float[np.ndarray, "person 39 2"], regions: Regions) -> Bool[np.ndarray, " person"]:
    """Whether the trunk points to the top of the circle, within 45 degrees. A person's does by definition."""
    trunk = xy[:, SHOULDERS].mean(1) - xy[:, HIPS].mean(1)
    up = regions[:, 2:] - regions[:, :2]
    return (trunk * up).sum(-1) > np.cos(np.pi / 4) * np.linalg.norm(trunk, axis=-1) * np.linalg.norm(up, axis=-1)


def _sigmoid(logits: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return 1 / (1 + np.exp(-logits.clip(-80, 80)))
