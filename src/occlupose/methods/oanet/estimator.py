"""OANet as an estimator: keypoints of a top-down 2D network, checked against optical flow, lifted to 3D over time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from occlupose import flow as flows
from occlupose.cameras import Camera
from occlupose.detections import Detections, FrameBoxes
from occlupose.errors import OccluposeError
from occlupose.estimator import PoseEstimator
from occlupose.flow import Flow
from occlupose.frontends import DEFAULT, Frontend, build_frontend
from occlupose.frontends.boxes import load as load_boxes
from occlupose.frontends.crops import BoxFrontend
from occlupose.frontends.detector import BoxDetector
from occlupose.media import Frame, Source
from occlupose.methods.lifter.joints import check_skeleton
from occlupose.methods.lifter.lifting import TrackLifter
from occlupose.methods.lifter.streaming import StreamLifter
from occlupose.methods.oanet.lifting import load_lifter, track_lifter
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.networks.temporal_transformer import FUTURE
from occlupose.occlusion.confidence import classify_joints
from occlupose.poses import FramePoses, Poses
from occlupose.poses_builder import PosesBuilder


class OANet(PoseEstimator):
    """OANet (ICCV 2019): people are detected and tracked in 2D, then lifted to 3D over time, with H36M-17 joints, by
    our lifter or, with weights of `train oanet`, by the paper's networks.

    Arguments:
        frontend: person detector and 2D keypoint network: a front end, or its name or file as for
            `frontends.build_frontend`, such as "rtmpose:FILE.onnx".
        boxes: bounding boxes of the people, in a file in COCO's results format or as `frontends.boxes.load` returns
            them; by default people are detected. For networks that take crops.
        flip: test-time augmentation by horizontal flip: slightly better, twice the time. For .safetensors files.
        flow: optical flow: a name that `flow.build_flow` knows, a function like `flow.Flow`, or None for no check.
        weights: of the lifter, as `occlupose train lifter` or `train oanet` writes them; by default the shipped ones.
        device: of the lifter, RAFT, MoveNet, NanoDet and a network in a file, as in torch; with "directml" only .onnx
            files are not on the CPU.
        detector: person detector, or its file as for `frontends.build_detector`, such as "yolox:FILE.onnx"; by default
            NanoDet. For networks that take crops.
        threads: processor threads of each network of the front end and detector; those of .safetensors files use
            torch's.

    Raises:
        OccluposeError: an argument is invalid, a file cannot be read, weights cannot be downloaded, or the lifter has
            none of the front end's joints.
    """

    in_3d = False

    def __init__(
        self,
        frontend: str | Path | Frontend = DEFAULT,
        boxes: str | Path | Mapping[int, FrameBoxes] | None = None,
        flip: bool = False,
        flow: str | Flow | None = "dis",
        weights: str | Path | None = None,
        device: str = "cpu",
        *,
        detector: str | Path | BoxDetector | None = None,
        threads: int = 2,
    ) -> None:
        torch_device = "cpu" if device == "directml" else device
        self.flow = flows.build_flow(flow, device=torch_device) if isinstance(flow, str) else flow
        self.lifter = load_lifter(torch_device, None if weights is None else Path(weights))
        self.frontend = _build_frontend(frontend, boxes, detector, flip=flip, threads=threads, device=device)
        self.boxes = boxes
        self.skeleton = self.frontend.skeleton
        self.min_joint_confidence = self.frontend.min_joint_confidence
        check_skeleton(self.skeleton)

    def start(self, source: Source) -> None:
        """Forgets earlier frames, and reads the bounding boxes of this source.

        Raises:
            OccluposeError: the file of boxes cannot be read, or has none for this source.
        """
        if isinstance(self.boxes, (str, Path)) and isinstance(self.frontend, BoxFrontend):
            self.frontend.boxes = load_boxes(Path(self.boxes), source)
        self.frontend.reset()

    def detect(self, frame: Frame, camera: Camera) -> Detections:
        """People in a frame, in 2D."""
        detections = self.frontend(frame)
        size = (frame.image.shape[1], frame.image.shape[0])
        state = classify_joints(detections.score, detections.xy, size, min_confidence=self.min_joint_confidence)
        return replace(detections, state=state)

    @property
    def best_rejected(self) -> float:
        """Highest confidence of a detected person whose keypoints were rejected since `start`; 0: none."""
        return getattr(self.frontend, "best_rejected", 0.0)

    def finish(self, tracks: Poses, height: float | None = None) -> Poses:
        """The tracks lifted to 3D, each as a whole."""
        assert tracks.camera is not None
        return track_lifter(tracks.camera, height, self.lifter)(tracks)

    def finish_live(
        self,
        frames: Iterable[FramePoses],
        builder: PosesBuilder,
        height: float | None = None,
        latency: float | None = None,
    ) -> Iterator[Poses]:
        """The frames lifted to 3D `latency` seconds late (by default 1.5, as `finish` does, and some at a time).

        Each is what `finish` says of it when the video ends then.

        Raises:
            OccluposeError: the weights are of OANet's own networks, which take whole windows.
        """
        if isinstance(self.lifter, OANetNetwork):
            raise OccluposeError("weights: OANet's own networks take whole windows, not streams; use run")
        latency = FUTURE if latency is None else latency
        lifter = StreamLifter(TrackLifter(builder.camera, height, self.lifter), builder, latency)
        for frame_poses in frames:
            yield from lifter.update(frame_poses)
        yield from lifter.finish()


def _build_frontend(
    frontend: str | Path | Frontend,
    boxes: str | Path | Mapping[int, FrameBoxes] | None,
    detector: str | Path | BoxDetector | None,
    *,
    flip: bool,
    threads: int,
    device: str,
) -> Frontend:
    """The front end, built if it is given by name or file.

    Raises:
        OccluposeError: as `frontends.build_frontend`; boxes, detector or flip for a front end that is built already.
    """
    if isinstance(frontend, (str, Path)):
        if isinstance(boxes, (str, Path)):
            boxes = {}  # `start` reads the file
        return build_frontend(frontend, boxes=boxes, detector=detector, flip=flip, threads=threads, device=device)
    if boxes is not None:
        where = boxes if isinstance(boxes, (str, Path)) else "boxes"
        raise OccluposeError(f"{where}: {frontend.name} is built already; give the boxes where it is built")
    for option, used in (("detector", detector is not None), ("flip", flip)):
        if used:
            raise OccluposeError(f"{option}: {frontend.name} is built already; give {option} where it is built")
    return frontend
