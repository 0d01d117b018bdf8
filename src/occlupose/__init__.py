"""Multi-person 2D and metric 3D human pose from images and video; every joint is visible, occluded or absent."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is imported, which else reports its use

if TYPE_CHECKING:
    from occlupose.cameras import Camera
    from occlupose.detections import Detections
    from occlupose.errors import OccluposeError
    from occlupose.estimator import PoseEstimator
    from occlupose.kinematics import measure_angles
    from occlupose.methods.hupor.estimator import HUPOR
    from occlupose.methods.oanet.estimator import OANet
    from occlupose.methods.oanet.lifting import lift
    from occlupose.pipeline import run, stream
    from occlupose.poses import Poses

__version__ = "0.1.0"
__all__ = [
    "HUPOR",
    "Camera",
    "Detections",
    "OANet",
    "OccluposeError",
    "PoseEstimator",
    "Poses",
    "__version__",
    "lift",
    "measure_angles",
    "run",
    "stream",
]

_HOMES = {
    "Camera": "occlupose.cameras",
    "Detections": "occlupose.detections",
    "HUPOR": "occlupose.methods.hupor.estimator",
    "OANet": "occlupose.methods.oanet.estimator",
    "OccluposeError": "occlupose.errors",
    "PoseEstimator": "occlupose.estimator",
    "Poses": "occlupose.poses",
    "lift": "occlupose.methods.oanet.lifting",
    "measure_angles": "occlupose.kinematics",
    "run": "occlupose.pipeline",
    "stream": "occlupose.pipeline",
}


def __getattr__(name: str) -> Any:
    """Public names, imported at first use, so that `import occlupose` is quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'occlupose' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
