"""Recordings of the rerun viewer (.rrd), written with rerun-sdk.

On the timelines `frame` and `time`: `people/ID` has the joints of a person in 3D (metres), `image/ID` their keypoints
in pixels, both with the bones of the skeleton. Visible joints are green, occluded ones orange, absent ones left out.
`state`, `score`, `spread` (px) and `covariance` (m^2, in the axes of the joints) are components beside them. `image` is
the camera where it is known.

Where the record has a world, x is right, y where the camera looks along the floor, z up from the floor, and the origin
on the floor, straight below the camera; else x is right, y down, z forward, and the origin the camera.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from occlupose.errors import OccluposeError
from occlupose.poses import Poses

if TYPE_CHECKING:
    import rerun as rr

__all__ = ["write"]

COLOURS = np.array([[0, 0, 0], [255, 150, 0], [0, 200, 90]], np.uint8)
"""Of each state, RGB."""

VALUES = ("state", "score", "spread", "covariance")


def write(poses: Poses, path: Path) -> None:
    """Writes everybody.

    Raises:
        OccluposeError: rerun is switched off.
        OSError: the file cannot be written.
    """
    import rerun as rr

    stream = rr.RecordingStream("occlupose")
    if not rr.is_enabled(stream):
        raise OccluposeError("rerun is switched off by the environment variable RERUN; unset it")
    memory = stream.memory_recording()
    _log_scene(stream, poses)
    times = [
        rr.TimeColumn("frame", sequence=np.arange(len(poses))),
        rr.TimeColumn("time", duration=poses.time),
    ]
    values = _values(poses)
    for column, person in enumerate(poses.track_id):
        for entity, places in (("image", poses.xy), ("people", poses.xyz if poses.world is None else poses.xyz_world)):
            if places is not None:
                known = np.isfinite(places[:, column]).all(-1)
                components = _components(poses.state, values, places, column, known)
                stream.send_columns(f"{entity}/{person}", times, components)
    path.write_bytes(memory.drain_as_bytes())


def _log_scene(stream: "rr.RecordingStream", poses: Poses) -> None:
    """What does not change: the axes, the skeleton, and the camera."""
    import rerun as rr

    world = poses.world
    stream.log("/", rr.ViewCoordinates.RDF if world is None else rr.ViewCoordinates.RFU, static=True)
    skeleton = rr.ClassDescription(
        info=(0, poses.skeleton.name),
        keypoint_annotations=[*enumerate(poses.skeleton.joints)],
        keypoint_connections=[tuple(poses.skeleton.index(*limb)) for limb in poses.skeleton.limbs],
    )
    stream.log("/", rr.AnnotationContext([skeleton]), static=True)
    if poses.camera is not None:
        size = [poses.width, poses.height]
        camera = rr.Pinhole(image_from_camera=poses.camera.matrix, resolution=size, camera_xyz=rr.ViewCoordinates.RDF)
        stream.log("image", camera, static=True)
        if world is not None:
            stream.log("image", rr.Transform3D(translation=world.translation, mat3x3=world.rotation), static=True)


def _values(poses: Poses) -> dict[str, np.ndarray]:
    """What stands beside the places of joints, by name."""
    values = {name: array for name, array in poses.arrays.items() if name in VALUES}
    if poses.world is not None and "covariance" in values:
        values["covariance"] = poses.world.rotate_covariance(values["covariance"]).astype(np.float32)
    return values


def _components(
    state: UInt8[np.ndarray, "time person joint"],
    values: dict[str, np.ndarray],
    places: Float[np.ndarray, "time person joint n"],
    column: int,
    known: Bool[np.ndarray, "time joint"],
) -> list[Any]:
    """The columns of one person: those joints that are known, frame by frame."""
    import rerun as rr

    points = rr.Points3D if places.shape[-1] == 3 else rr.Points2D
    joint = np.nonzero(known)[1]
    counts = known.sum(-1)
    drawn = points.columns(
        positions=places[:, column][known],
        colors=COLOURS[state[:, column][known]],
        keypoint_ids=joint,
        class_ids=np.zeros(len(joint), int),
    )
    beside = {name: _to_arrow(array[:, column][known]) for name, array in values.items()}
    return [*drawn.partition(counts), *rr.AnyValues.columns(**beside).partition(counts)]


def _to_arrow(values: np.ndarray) -> Any:
    """A list, or a list of lists of six."""
    import pyarrow

    flat = pyarrow.array(values.ravel())
    return flat if values.ndim == 1 else pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
