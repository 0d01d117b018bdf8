"""HUPOR in use (arXiv 2208.00090): a picture in, everybody in it out, in pixels and in metres, every joint visible,
occluded or absent.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from occlupose.cameras import Camera
from occlupose.codecs.multi_person import MultiPersonMaps
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.decode import DecodedPeople, DecoderInput, decode
from occlupose.methods.hupor.grouping import PAPER, GroupingRules
from occlupose.methods.hupor.losses import PoseMaps
from occlupose.methods.hupor.network import TORSO_DEPTH_HEAD, HUPORNetwork, add_maps
from occlupose.methods.hupor.refine import refine_positions
from occlupose.networks.precision import bf16_is_native
from occlupose.networks.weights import to_device
from occlupose.poses import ABSENT, OCCLUDED
from occlupose.pyramid import Pyramid

MIN_JOINTS = 4
"""Joints that somebody must have to be believed (ours)."""

SHIPPED = Path(__file__).parents[2] / "weights" / "hupor.synth.safetensors"


@dataclass(frozen=True, eq=False)
class HUPOROutput:
    """What the networks say of a picture, to look at.

    Attributes:
        input: the picture as they are shown it.
        matrix: from the picture to that.
        visible, hidden, merged: the detector's maps, the reasoner's, and both together.
        depths: of torso joints, as `scenes.normalised`.
    """

    input: RGB
    matrix: Float[np.ndarray, "2 3"]
    visible: PoseMaps
    hidden: PoseMaps
    merged: PoseMaps
    depths: Float[Tensor, "1 7 y x"]


class HUPORPredictor:
    """The networks of a weights file, as a function of pictures.

    Arguments:
        trained: networks ready to use.
        flip: look at every picture's mirror image too: a little better, twice the time.
        device: where they run, as torch names it.
        rules: how people are grouped.

    Attributes:
        seconds: spent so far on detection, reasoning, grouping (all that follows the maps).
    """

    def __init__(
        self,
        trained: weights.TrainedHUPOR,
        *,
        flip: bool = False,
        device: str = "cpu",
        name: str = "hupor",
        rules: GroupingRules = PAPER,
    ) -> None:
        self.networks: HUPORNetwork = to_device(trained.networks, device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.refiner = None if trained.refiner is None else to_device(trained.refiner, device).eval()
        self.refinement = trained.refinement
        self.name = name
        self.flip = flip
        self.device = device
        self.rules = rules
        self.seconds = {"detection": 0.0, "reasoning": 0.0, "grouping": 0.0}

    @property
    def maps(self) -> MultiPersonMaps:
        """The codec of its maps."""
        return self.networks.codec

    def __call__(self, image: RGB, camera: Camera | None = None) -> Detections:
        """The people in an image of any size, with MPI15 joints.

        Joints in metres are NaN also where the depth of the person is unknown. The score is the height of the heatmap
        at the joint, 0 where only the RefineNet predicts the joint.

        Arguments:
            camera: that took it; None assumes `Camera.from_fov`'s.

        Raises:
            OccluposeError: a camera of pictures of another size; weights that say what is not a number.
        """
        height, width = image.shape[:2]
        camera = camera or Camera.from_fov(width, height, assumed=True)
        if (camera.width, camera.height) != (width, height):
            raise OccluposeError(
                f"camera: for pictures of {camera.width} x {camera.height}, not {width} x {height}; give the one of"
                " these"
            )
        return self.people(self.look(image), camera)

    def people(self, seen: HUPOROutput, camera: Camera) -> Detections:
        """Who is in a picture by what the networks say of it, in the picture and in space."""
        start = time.perf_counter()
        visible, heatmaps, fields, depths = (
            part[0].cpu().numpy()
            for part in (seen.visible.heatmaps, seen.merged.heatmaps, seen.merged.fields, seen.depths)
        )
        scale = float(np.hypot(*seen.matrix[:, 0]))
        said = DecoderInput(visible, heatmaps, fields, depths, span=1 / (camera.fx * scale))
        found = self._placed(decode(said, self.maps, self.rules), seen.matrix, camera)
        self.seconds["grouping"] += time.perf_counter() - start
        return found

    @torch.inference_mode()
    def look(self, image: RGB) -> HUPOROutput:
        """What the networks say of a picture.

        Raises:
            OccluposeError: what a layer says is not a number; names it.
        """
        start = time.perf_counter()
        matrix = self.networks.design.box.matrix(image.shape[1], image.shape[0])
        shown = self.networks.design.box.warp(Pyramid(image), matrix)
        pictures = torch.from_numpy(shown)[None].to(self.device)
        if self.flip:
            pictures = torch.cat([pictures, pictures.flip(2)])
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=bf16_is_native(pictures.device.type)):
            heads = self.networks.detect(pictures)
            visible = self.networks.visible(heads)
            depths = heads[-1][0][TORSO_DEPTH_HEAD].float()
            if pictures.is_cuda:
                torch.cuda.synchronize()
            between = time.perf_counter()
            hidden = self.networks.hidden(visible)
        whole = add_maps(visible, hidden)
        if self.flip:
            visible, hidden, whole = (_unflipped(maps, self.maps) for maps in (visible, hidden, whole))
        if not all(part.isfinite().all() for part in (whole.heatmaps, whole.fields, depths[:1])):
            raise OccluposeError(
                f"{self.name}: {_culprit(self.networks, pictures)} says what is no number; give other weights"
            )
        self.seconds["detection"] += between - start
        self.seconds["reasoning"] += time.perf_counter() - between
        return HUPOROutput(shown, matrix, visible, hidden, whole, depths[:1])

    def _placed(self, decoded: DecodedPeople, matrix: Float[np.ndarray, "2 3"], camera: Camera) -> Detections:
        """People in the picture and in space; what was found beyond the border is absent."""
        inverse = np.linalg.inv(matrix[:, :2])
        xy = (decoded.xy - matrix[:, 2]) @ inverse.T
        state = np.where(_inside(xy, camera), decoded.state, ABSENT).astype(np.uint8)
        enough = (state != ABSENT).sum(-1) >= MIN_JOINTS
        xy, state, score = xy[enough], state[enough], np.where(state == ABSENT, 0, decoded.score)[enough].clip(0, 1)
        xy = np.where((state == ABSENT)[..., None], np.nan, xy)
        xyz = camera.back_project(xy, decoded.z[enough])
        xyz[~(xyz[..., 2] > 0)] = np.nan  # behind the camera nobody is seen
        if self.refiner is not None and self.refinement is not None and len(xy):
            xyz = refine_positions(self.refiner, xy, xyz, state, camera, published=self.refinement.published)
            added = (state == ABSENT) & np.isfinite(xyz).all(-1)
            xy = np.where(added[..., None], camera.project(xyz), xy)
            state[added & _inside(xy, camera)] = OCCLUDED
        absent = state == ABSENT
        return Detections(
            skeleton=self.maps.skeleton,
            xy=np.where(absent[..., None], np.nan, xy),
            score=score,
            state=state,
            xyz=np.where(absent[..., None], np.nan, xyz),
        )


def load(
    path: Path | None = None, *, flip: bool = False, device: str = "cpu", rules: GroupingRules = PAPER
) -> HUPORPredictor:
    """HUPOR with the weights of a file, by default the shipped ones; its arguments are those of `Hupor`.

    Raises:
        OccluposeError: no such file, not one of HUPOR; no such device.
    """
    path = path or SHIPPED
    return HUPORPredictor(weights.load(path), flip=flip, device=device, name=path.name, rules=rules)


def _inside(xy: Float[np.ndarray, "person 15 2"], camera: Camera) -> Bool[np.ndarray, "person 15"]:
    """Whether places are in the picture; NaN is not."""
    return np.logical_and.reduce((xy > -0.5) & (xy < np.array([camera.width, camera.height]) - 0.5), axis=-1)


def _unflipped(maps: PoseMaps, codec: MultiPersonMaps) -> PoseMaps:
    """Of a picture and its mirror image, the first: heatmaps and ways as the mean of both, depths as of the picture
    itself.
    """
    skeleton = codec.skeleton
    partners = list(skeleton.mirror)
    ends = [tuple(skeleton.joints[partners[skeleton.index(joint)[0]]] for joint in limb) for limb in skeleton.limbs]
    limbs = [skeleton.limbs.index(limb) for limb in ends]
    other = maps.fields[1:, limbs].flip(-1) * torch.tensor([-1.0, 1, 1], device=maps.fields.device)[:, None, None]
    ways = (maps.fields[:1, :, :2] + other[:, :, :2]) / 2
    return PoseMaps(
        (maps.heatmaps[:1] + maps.heatmaps[1:, partners].flip(-1)) / 2, torch.cat([ways, maps.fields[:1, :, 2:]], 2)
    )


def _culprit(networks: HUPORNetwork, pictures: UInt8[Tensor, "batch height width 3"]) -> str:
    """The layer whose output is the first that is not a number."""
    wrong: list[str] = []

    def watch(name: str) -> None:
        def check(_: nn.Module, __: object, said: object) -> None:
            if isinstance(said, Tensor) and not wrong and not said.isfinite().all():
                wrong.append(name)

        hooks.append(networks.get_submodule(name).register_forward_hook(check))

    hooks: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for name, part in networks.named_modules():
            if not any(True for _ in part.children()):
                watch(name)
        networks.hidden(networks.visible(networks.detect(pictures)))
    finally:
        for hook in hooks:
            hook.remove()
    return f"layer {wrong[0]}" if wrong else "the network"
