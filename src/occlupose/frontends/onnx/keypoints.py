"""A keypoint network in an ONNX file that takes crops of people."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, UInt8

from occlupose.codecs.crops import Crop, cells
from occlupose.codecs.heatmaps import find_peaks
from occlupose.codecs.maps import GaussianMaps
from occlupose.codecs.msra import MSRA
from occlupose.codecs.udp import UDP
from occlupose.errors import OccluposeError
from occlupose.frontends.crops import Keypoints
from occlupose.frontends.onnx.cards import KeypointCard
from occlupose.frontends.onnx.session import OnnxSession, Outputs, describe, find_output
from occlupose.occlusion.confidence import MIN_CONFIDENCE

Maps = list[np.ndarray]


class OnnxCropNetwork:
    """The network as a `CropNetwork`.

    Arguments:
        session: the file.
        card: its description.

    Attributes:
        card: its description.
        crop: of its input.
        skeleton: joints.
        min_joint_confidence: least score of a visible joint.

    Raises:
        OccluposeError: the network is not as the card describes; unknown skeleton.
    """

    min_joint_confidence = MIN_CONFIDENCE

    def __init__(self, session: OnnxSession, card: KeypointCard) -> None:
        self._session = session
        self.card = card
        self.crop = card.crop
        self.skeleton = card.build_skeleton()
        outputs = session.try_out(card.width, card.height)
        maps = find_maps(outputs, card)
        if maps is None or maps[0].shape[1] != len(self.skeleton):
            wanted = f"{card.codec} of {len(self.skeleton)} joints ({card.skeleton})"
            raise OccluposeError(f"{session.file}: its output is {describe(outputs)}; the card says {wanted}")
        _check_cells(session, card, maps)

    def __call__(self, crops: UInt8[np.ndarray, "person height width 3"]) -> Keypoints:
        """Keypoints in RGB crops of the card's size; the score is 0 where the output is not finite."""
        xy = [np.zeros((0, len(self.skeleton), 2))]
        score = [np.zeros((0, len(self.skeleton)))]
        for outputs in self._session(self.card.normalise(crops)):
            maps = find_maps(outputs, self.card)
            if maps is None:
                raise OccluposeError(
                    f"{self._session.file}: its output has become {describe(outputs)}; export it again"
                )
            points, heights = decode(maps, self.card)
            xy.append(points)
            score.append(heights)
        return np.concatenate(xy).astype(np.float64), np.concatenate(score).astype(np.float64).clip(0, 1)


def find_maps(outputs: Outputs, card: KeypointCard) -> Maps | None:
    """The outputs that hold the keypoints, x before y; None where there are none. By name, else by shape."""
    if card.codec == "simcc":
        return _profiles(outputs, card)
    if card.codec == "coordinates":
        maps = find_output(outputs, "keypoints", lambda values: values.ndim == 3 and values.shape[2] in (2, 3))
    else:
        maps = find_output(outputs, "heatmaps", lambda values: values.ndim == 4)
    return None if maps is None or not maps.size else [maps]


def decode(maps: Maps, card: KeypointCard) -> Keypoints:
    """Keypoints, crop px, and their scores; 0 where a value is not finite."""
    finite = np.array([np.isfinite(values).all(tuple(range(2, values.ndim))) for values in maps]).all(0)
    xy, score = _DECODERS[card.codec]([np.where(np.isfinite(values), values, 0) for values in maps], card)
    return xy, np.where(finite, score, 0)


def _profiles(outputs: Outputs, card: KeypointCard) -> Maps | None:
    """The profiles of SimCC along x and y."""
    names = ["simcc_x", "simcc_y"]
    named = all(name in outputs for name in names)
    found = [outputs[name] for name in names] if named else list(outputs.values())
    found = [values for values in found if values.ndim == 3]
    if len(found) != 2 or found[0].shape[:2] != found[1].shape[:2]:
        return None
    return next((maps for maps in (found, found[::-1]) if _split(maps, card) is not None), None)


def _split(maps: Maps, card: KeypointCard) -> float | None:
    """Classes per px; None where they differ along x and y."""
    x, y = maps
    across = x.shape[2] / card.width
    return across if 0 < across == y.shape[2] / card.height else None


def _check_cells(session: OnnxSession, card: KeypointCard, maps: Maps) -> None:
    """Refuses maps whose cells are not those that the card says. Raises OccluposeError."""
    size = f"{card.width} x {card.height}"
    if card.codec == "simcc" and card.split not in (None, _split(maps, card)):
        classes = f"{maps[0].shape[2]} and {maps[1].shape[2]}"
        raise OccluposeError(
            f"{session.file}: has {classes} classes for {size} px; the card says {card.split:g} per px"
        )
    if card.codec in ("msra", "udp") and _stride(maps[0], card) is None:
        cells = f"{maps[0].shape[3]} x {maps[0].shape[2]}"
        raise OccluposeError(
            f"{session.file}: has maps of {cells} for {size} px; the card says {card.codec}, whole strides"
        )


def _stride(maps: np.ndarray, card: KeypointCard) -> int | None:
    """Pixels per cell; None where they are not whole or differ along x and y."""
    strides = {divmod(card.height, maps.shape[2]), divmod(card.width, maps.shape[3])}
    return next(iter(strides))[0] if len(strides) == 1 and next(iter(strides))[1] == 0 else None


def _from_heatmap(maps: Maps, card: KeypointCard) -> Keypoints:
    height, width = maps[0].shape[2:]
    peaks, score = find_peaks(maps[0])
    step, first = Crop(card.width, card.height, grid=card.grid).cells(width, height)
    return peaks * step + first, score


def _from_gaussians(codec: GaussianMaps, maps: np.ndarray) -> Keypoints:
    xy, score = codec.decode(torch.from_numpy(maps))
    return xy.numpy(), score.numpy()


def _from_msra(maps: Maps, card: KeypointCard) -> Keypoints:
    return _from_gaussians(MSRA(card.crop, _stride(maps[0], card) or 1), maps[0])


def _from_udp(maps: Maps, card: KeypointCard) -> Keypoints:
    return _from_gaussians(UDP(card.crop, _stride(maps[0], card) or 1, blur=card.blur), maps[0])


def _from_simcc(maps: Maps, card: KeypointCard) -> Keypoints:
    xy = []
    for profile, side in zip(maps, (card.width, card.height), strict=True):
        step, first = cells("stride", side, profile.shape[2])
        xy.append(profile.argmax(2) * step + first)
    return np.stack(xy, -1), np.minimum(maps[0].max(2), maps[1].max(2))


def _from_coordinates(maps: Maps, card: KeypointCard) -> Keypoints:
    xy: Float[np.ndarray, "person joint 2"] = maps[0][..., :2]
    score = maps[0][..., 2:]
    if card.unit == "fraction":
        xy = xy * np.array([card.width, card.height]) - 0.5
    return xy, score[..., 0] if score.shape[-1] else np.ones(xy.shape[:2])


_DECODERS: dict[str, Callable[[Maps, KeypointCard], Keypoints]] = {
    "heatmap": _from_heatmap,
    "msra": _from_msra,
    "udp": _from_udp,
    "simcc": _from_simcc,
    "coordinates": _from_coordinates,
}
