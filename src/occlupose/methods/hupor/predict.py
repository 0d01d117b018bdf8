"""HUPOR's inference (arXiv 2208.00090): from an image to the people in it, in pixels and in metres, with every joint
visible, occluded or absent.
"""

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
from occlupose.methods.hupor.losses import PoseMaps
from occlupose.methods.hupor.network import TORSO_DEPTH_HEAD, HUPORNetwork, add_maps
from occlupose.methods.hupor.refine import refine_positions
from occlupose.networks.precision import bf16_is_native
from occlupose.networks.weights import to_device
from occlupose.poses import ABSENT, OCCLUDED
from occlupose.pyramid import Pyramid

MIN_JOINTS = 4
"""People with fewer joints are dropped (ours)."""

SHIPPED = Path(__file__).parents[2] / "weights" / "hupor.movenet.safetensors"


@dataclass(frozen=True, eq=False)
class HUPOROutput:
    """The networks' output for one image.

    Attributes:
        input: the image in the letterbox, as the networks receive it.
        matrix: from the image to the input.
        visible, hidden, combined: maps of the detector, of the reasoner, and their sum.
        depths: of torso joints, as `multi_person.normalise_depth`.
    """

    input: RGB
    matrix: Float[np.ndarray, "2 3"]
    visible: PoseMaps
    hidden: PoseMaps
    combined: PoseMaps
    depths: Float[Tensor, "1 7 y x"]


class HUPORPredictor:
    """The networks of a weights file, as a function of images.

    Arguments:
        trained: networks ready to use.
        flip: test-time augmentation by horizontal flip: slightly better, twice the time.
        device: torch device.
        name: of the weights, for messages.
    """

    def __init__(
        self,
        trained: weights.TrainedHUPOR,
        *,
        flip: bool = False,
        device: str = "cpu",
        name: str = "hupor",
    ) -> None:
        network = to_device(trained.networks, device)
        self.networks: HUPORNetwork = network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.refiner = None if trained.refiner is None else to_device(trained.refiner, device).eval()
        self.refiner_recipe = trained.refiner_recipe
        self.name = name
        self.flip = flip
        self.device = device

    @property
    def codec(self) -> MultiPersonMaps:
        """The codec of the maps."""
        return self.networks.codec

    def __call__(self, image: RGB, camera: Camera | None = None) -> Detections:
        """The people in an image of any size, with MPI15 joints.

        Joints in metres are also NaN where the depth of the person is unknown. The score is the height of the heatmap
        at the joint, 0 where only the RefineNet predicts the joint.

        Arguments:
            camera: of the image; None assumes that of `Camera.from_fov`.

        Raises:
            OccluposeError: the camera's images have another size; the networks' output is not a number.
        """
        height, width = image.shape[:2]
        camera = camera or Camera.from_fov(width, height, assumed=True)
        if (camera.width, camera.height) != (width, height):
            wrong = f"for images of {camera.width} x {camera.height}, not {width} x {height}"
            raise OccluposeError(f"camera: {wrong}; give the camera of these images")
        return self.decode_people(self.predict_maps(image), camera)

    def decode_people(self, output: HUPOROutput, camera: Camera) -> Detections:
        """The people in an image, in pixels and in metres, from the networks' output."""
        scale = float(np.hypot(*output.matrix[:, 0]))
        maps = DecoderInput(
            visible=output.visible.heatmaps[0].cpu().numpy(),
            heatmaps=output.combined.heatmaps[0].cpu().numpy(),
            fields=output.combined.fields[0].cpu().numpy(),
            depths=output.depths[0].cpu().numpy(),
            metres_per_pixel=1 / (camera.fx * scale),
        )
        return self._place(decode(maps, self.codec), output.matrix, camera)

    @torch.inference_mode()
    def predict_maps(self, image: RGB) -> HUPOROutput:
        """The networks' output for an image.

        Raises:
            OccluposeError: the output of a layer is not a number; names the layer.
        """
        letterbox = self.networks.design.letterbox
        matrix = letterbox.matrix(image.shape[1], image.shape[0])
        warped = letterbox.warp(Pyramid(image), matrix)
        images = torch.from_numpy(warped)[None].to(self.device)
        if self.flip:
            images = torch.cat([images, images.flip(2)])
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16_is_native(images.device.type)):
            heads = self.networks.detect(images)
            visible = self.networks.visible_maps(heads)
            depths = heads[-1][0][TORSO_DEPTH_HEAD].float()
            hidden = self.networks.hidden_maps(visible, images)
        combined = add_maps(visible, hidden)
        if self.flip:
            visible = _average_flipped(visible, self.codec)
            hidden = _average_flipped(hidden, self.codec)
            combined = _average_flipped(combined, self.codec)
        if not all(part.isfinite().all() for part in (combined.heatmaps, combined.fields, depths[:1])):
            layer = _first_nonfinite_layer(self.networks, images)
            raise OccluposeError(f"{self.name}: the output of {layer} is not a number; give other weights")
        return HUPOROutput(warped, matrix, visible, hidden, combined, depths[:1])

    def _place(self, people: DecodedPeople, matrix: Float[np.ndarray, "2 3"], camera: Camera) -> Detections:
        """People in pixels of the image and in metres; joints outside of the image are absent."""
        inverse = np.linalg.inv(matrix[:, :2])
        xy = (people.xy - matrix[:, 2]) @ inverse.T
        state = np.where(_in_image(xy, camera), people.state, ABSENT).astype(np.uint8)
        enough = (state != ABSENT).sum(-1) >= MIN_JOINTS
        score = np.where(state == ABSENT, 0, people.score)[enough].clip(0, 1)
        state = state[enough]
        xy = np.where((state == ABSENT)[..., None], np.nan, xy[enough])
        xyz = camera.back_project(xy, people.z[enough])
        xyz[~(xyz[..., 2] > 0)] = np.nan  # behind the camera
        if self.refiner is not None and self.refiner_recipe is not None and len(xy):
            xyz = refine_positions(self.refiner, xy, xyz, state, camera, published=self.refiner_recipe.published)
            added = (state == ABSENT) & np.isfinite(xyz).all(-1)
            xy = np.where(added[..., None], camera.project(xyz), xy)
            state[added & _in_image(xy, camera)] = OCCLUDED
        absent = state == ABSENT
        return Detections(
            skeleton=self.codec.skeleton,
            xy=np.where(absent[..., None], np.nan, xy),
            score=score,
            state=state,
            xyz=np.where(absent[..., None], np.nan, xyz),
        )


def load(path: Path | None = None, *, flip: bool = False, device: str = "cpu") -> HUPORPredictor:
    """HUPOR with the weights of a file, by default the shipped ones; the arguments are those of `HUPORPredictor`.

    Raises:
        OccluposeError: the file does not exist or is not HUPOR's; no such device.
    """
    path = path or SHIPPED
    return HUPORPredictor(weights.load(path), flip=flip, device=device, name=path.name)


def _in_image(xy: Float[np.ndarray, "person 15 2"], camera: Camera) -> Bool[np.ndarray, "person 15"]:
    """Whether positions are in the image; False for NaN."""
    return np.logical_and.reduce((xy > -0.5) & (xy < np.array([camera.width, camera.height]) - 0.5), axis=-1)


def _average_flipped(maps: PoseMaps, codec: MultiPersonMaps) -> PoseMaps:
    """Maps of an image from those of the image and its mirror image: heatmaps and vectors are averaged, depths are
    those of the image.
    """
    skeleton = codec.skeleton
    partners = list(skeleton.mirror)
    ends = [tuple(skeleton.joints[partners[skeleton.index(joint)[0]]] for joint in limb) for limb in skeleton.limbs]
    limbs = [skeleton.limbs.index(limb) for limb in ends]
    signs = torch.tensor([-1.0, 1, 1], device=maps.fields.device)[:, None, None]
    mirrored = maps.fields[1:, limbs].flip(-1) * signs
    heatmaps = (maps.heatmaps[:1] + maps.heatmaps[1:, partners].flip(-1)) / 2
    vectors = (maps.fields[:1, :, :2] + mirrored[:, :, :2]) / 2
    return PoseMaps(heatmaps, torch.cat([vectors, maps.fields[:1, :, 2:]], 2))


def _first_nonfinite_layer(networks: HUPORNetwork, images: UInt8[Tensor, "batch height width 3"]) -> str:
    """The first layer whose output is not a number."""
    nonfinite: list[str] = []

    names = {module: name for name, module in networks.named_modules()}

    def check(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor) and not output.isfinite().all():
            nonfinite.append(names[module])

    hooks = [module.register_forward_hook(check) for module in names if not any(True for _ in module.children())]
    try:
        networks.hidden_maps(networks.visible_maps(networks.detect(images)), images)
    finally:
        for hook in hooks:
            hook.remove()
    return f"layer {nonfinite[0]}" if nonfinite else "the network"
