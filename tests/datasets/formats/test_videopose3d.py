from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from occlupose.cameras import Camera
from occlupose.datasets.calibration import CalibratedCamera
from occlupose.datasets.formats.videopose3d import CameraClip, read_detections
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17
from pose_records import record


@pytest.mark.parametrize("action", ["../../walking", "{outside}"])
def test_names_of_sequences_do_not_lead_out_of_the_folder_of_detections(tmp_path, action):
    truth = record(4, 1, COCO17, lifted=False, observed=None)
    (tmp_path / "outside").mkdir()
    truth.save(tmp_path / "outside" / "C1.npz")
    (tmp_path / "poses" / "S1").mkdir(parents=True)
    camera = CalibratedCamera("C1", Camera.from_fov(640, 480), np.eye(3), np.zeros(3), np.zeros(5))
    outside = action.format(outside=tmp_path / "outside")
    clip = CameraClip("S1", outside, 0, camera)
    if Path(outside).is_absolute():
        clip = replace(clip, subject="")
    with pytest.raises(OccluposeError, match=r"C1: this name of a sequence leads out of .*poses; correct it in the"):
        read_detections(tmp_path, "h36m", str(tmp_path / "poses"))(clip, truth)
