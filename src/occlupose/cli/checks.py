"""What `occlupose doctor` checks: each check returns what it found, or says what is wrong and the cure."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from occlupose.errors import OccluposeError, reason

WEIGHTS = Path(__file__).parents[1] / "weights"
SUMS = WEIGHTS / "SHA256SUMS"
"""SHA-256 of the weights, as the program sha256sum writes them."""

REINSTALL = "pip install --force-reinstall --no-deps occlupose, or '.' in a clone"

EXTRAS = {
    "blazepose": "ai_edge_litert",
    "h36m": "cdflib",
    "c3d": "ezc3d",
    "gltf": "pygltflib",
    "xlsx": "xlsxwriter",
    "rerun": "rerun",
    "hdf5": "h5py",
    "raft": "torchvision",
    "bodies": "anny",
    "render": "moderngl",
    "ray": "ray",
    "browser": "playwright",
}
"""The module that each extra of the package brings."""

STANDING = {
    "pelvis": (0.0, 0.0, 0.0),
    "hip": (0.13, 0.0, 0.0),
    "knee": (0.14, 0.44, 0.0),
    "ankle": (0.14, 0.87, 0.03),
    "spine": (0.0, -0.24, 0.02),
    "thorax": (0.0, -0.49, 0.03),
    "neck_nose": (0.0, -0.6, -0.05),
    "head_top": (0.0, -0.71, 0.0),
    "shoulder": (0.16, -0.45, 0.03),
    "elbow": (0.22, -0.17, 0.04),
    "wrist": (0.24, 0.08, -0.02),
}
"""Metres from the pelvis of somebody who stands and faces the camera: to the left of the person, down, and away."""

DISTANCE = 4.0
"""Of the person from the camera, m."""

LARGEST_ERROR = 0.12
"""Mean distance of the lifted joints from the true ones that is still right, m."""


def check_weights() -> str:
    """The weights are those that were shipped."""
    sums = [line.split("  ") for line in SUMS.read_text().splitlines()]
    for expected, name in sums:
        try:
            found = hashlib.sha256((WEIGHTS / name).read_bytes()).hexdigest()
        except OSError as error:
            raise OccluposeError(f"{WEIGHTS / name}: {reason(error)}; {REINSTALL}") from error
        if found != expected:
            raise OccluposeError(f"{WEIGHTS / name}: damaged, its SHA-256 is not the shipped one; {REINSTALL}")
    return f"{len(sums)} files"


def check_networks() -> str:
    """The networks can be made of the weights."""
    from occlupose.bodies.anny import anny
    from occlupose.methods.hupor.predict import load as load_hupor
    from occlupose.networks import pretrained
    from occlupose.synth.pose_prior import PosePrior

    for name in pretrained.NETWORKS:
        pretrained.load(name, threads=1)
    load_hupor()
    anny()
    PosePrior.load()
    return ", ".join([*pretrained.NETWORKS, "hupor", "anny", "poses"])


def check_video() -> str:
    """A tiny video is written, and read again as it was."""
    import numpy as np

    from occlupose.media import VideoWriter, open_media

    shades = (0, 128, 255)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "check.mp4"
        with VideoWriter(path, 64, 48, fps=30) as video:
            for shade in shades:
                video.write(np.full((48, 64, 3), shade, np.uint8))
        with open_media(path) as source:
            found = [float(frame.image.mean()) for frame in source]
    if len(found) != len(shades) or np.abs(np.subtract(found, shades)).max() > 10:
        raise OccluposeError(f"frames of brightness {found} instead of {shades}; pip install --force-reinstall av")
    return f"{len(shades)} frames"


def check_cache() -> str:
    """Files can be written where downloads are kept."""
    from occlupose.assets import cache_folder

    folder = cache_folder()
    existing = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    try:
        with tempfile.TemporaryDirectory(dir=existing) as trial:
            (Path(trial) / "file").write_bytes(b"x")
    except OSError as error:
        raise OccluposeError(
            f"{folder}: cannot be written ({reason(error)}); set OCCLUPOSE_CACHE to a folder that can"
        ) from error
    return str(folder)


def check_threads() -> str:
    """There are not more threads than processors."""
    import torch

    from occlupose.threads import cores

    processors = cores()
    threads = torch.get_num_threads()
    if threads > processors:
        raise OccluposeError(
            f"{threads} threads on {processors} processors wait for each other; set OMP_NUM_THREADS={processors}"
        )
    return f"{threads} on {processors} processors"


def check_lift() -> str:
    """Somebody who is known is lifted to 3D."""
    import warnings

    import numpy as np

    from occlupose.cameras import Camera
    from occlupose.methods.oanet.lifting import lift
    from occlupose.skeletons import H36M17

    offsets = [STANDING[joint.removeprefix("left_").removeprefix("right_")] for joint in H36M17.joints]
    sides = [[-1.0 if joint.startswith("right_") else 1.0, 1.0, 1.0] for joint in H36M17.joints]
    truth = np.array(offsets) * sides
    camera = Camera.from_fov(640, 480)
    pixels = camera.project(truth + np.array([0, 0, DISTANCE])).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lifted = lift(np.tile(pixels, (4, 1, 1)), skeleton="h36m17", fps=30, camera=camera, height=1.7)
    assert lifted.xyz is not None
    found = lifted.xyz[-1, 0] - lifted.xyz[-1, 0, :1]
    error = float(np.linalg.norm(found - truth, axis=-1).mean())
    if not error <= LARGEST_ERROR:
        raise OccluposeError(
            f"joints are {1000 * error:.0f} mm off, more than {1000 * LARGEST_ERROR:.0f}; pip install --force-reinstall"
            " torch, and report it if that does not help"
        )
    return f"joints within {1000 * error:.0f} mm of where they are"


def check_extra(name: str) -> str:
    """An extra can be imported, or is not installed."""
    module = EXTRAS[name]
    command = f"pip install '.[{name}]' in a clone of occlupose"
    if find_spec(module) is None:
        return f"not installed; {command}"
    try:
        import_module(module)
    except Exception as error:  # a broken installation may fail in any way
        package = metadata.packages_distributions().get(module, [module])[0]
        raise OccluposeError(f"{module}: {error}; pip install --force-reinstall {package}") from error
    return f"{module} can be imported"


CHECKS: dict[str, Callable[[], str]] = {
    "weights are as shipped": check_weights,
    "networks load": check_networks,
    "a video can be written and read": check_video,
    "a lift is right": check_lift,
    "the cache can be written": check_cache,
    "threads": check_threads,
}
"""The checks by name, besides those of extras."""
