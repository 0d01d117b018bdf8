"""Networks in ONNX files: keypoint networks, person detectors, and networks that are both.

What a network takes and gives is on its card (`occlupose.frontends.onnx.cards`). For `pose.onnx` it comes from the
first of these:

1. `pose.json` beside it, a card;
2. the word of a preset, as in `rtmpose:pose.onnx` (`occlupose.frontends.presets`);
3. `pipeline.json` in its folder, as MMDeploy exports it (`occlupose.frontends.onnx.mmdeploy`).
"""

from dataclasses import dataclass
from typing import Any

from occlupose.errors import OccluposeError
from occlupose.frontends.onnx.cards import BoxCard, KeypointCard, OnnxCard, PeopleCard, load_card, make_card
from occlupose.frontends.onnx.images import OnnxDetector, OnnxPeople, find_people
from occlupose.frontends.onnx.keypoints import OnnxCropNetwork, find_maps
from occlupose.frontends.onnx.mmdeploy import PIPELINE, read_export
from occlupose.frontends.onnx.session import OnnxSession, Outputs, describe
from occlupose.frontends.presets import PRESETS, split_preset

__all__ = [
    "BoxCard",
    "KeypointCard",
    "OnnxCard",
    "OnnxCropNetwork",
    "OnnxDetector",
    "OnnxPeople",
    "PeopleCard",
    "load_card",
    "load_network",
]

SKELETONS = {17: "coco17", 26: "halpe26", 133: "wholebody133", 16: "mpii16"}
"""Skeletons of networks whose files do not name it, by their number of joints."""


def load_network(name: str, *, threads: int = 2, device: str = "cpu") -> OnnxCropNetwork | OnnxDetector | OnnxPeople:
    """The network in an ONNX file.

    Arguments:
        name: the file, maybe with the word of a preset before it: "rtmpose:pose.onnx".
        threads: processor threads.
        device: see `OnnxSession`.

    Raises:
        OccluposeError: onnxruntime is not installed, or cannot use the device; no such file; nothing says what the
            network is; it is not as that says.
    """
    word, file = split_preset(name)
    session = OnnxSession(file, threads=threads, device=device)
    card = find_card(session, word)
    if session.dtype.kind == "u" and not card.raw:
        raise OccluposeError(
            f"{file}: takes pixels (uint8); its card has mean and std; give mean 0 and std 1 in a card"
        )
    if isinstance(card, KeypointCard):
        return OnnxCropNetwork(session, card)
    if isinstance(card, PeopleCard):
        return OnnxPeople(name, session, card)
    return OnnxDetector(session, card)


def find_card(session: OnnxSession, word: str | None) -> OnnxCard:
    """The card of a network; see the module's docstring. Names of its outputs are set.

    Arguments:
        word: of a preset, or None.

    Raises:
        OccluposeError: nothing says what the network is; that is not so; its joints are unknown.
    """
    file = session.file
    card = file.with_suffix(".json")
    if card.is_file():
        return load_card(card)
    if word is not None:
        preset = PRESETS[word]
        return _complete(Description(f"{word}:{file}", preset.kind, preset.fields | session.size), session)
    if (file.parent / PIPELINE).is_file():
        export = read_export(file.parent)
        session.names = export.names
        fields = session.size | export.fields
        return _complete(Description(str(export.path), export.kind, fields, export.skeleton), session)
    words = ", ".join(f"{word}:{file.name}" for word in PRESETS)
    raise OccluposeError(
        f"{card}: no card for the network; say what it is ({words}) or write one, docs/front-ends.md shows how"
    )


@dataclass(frozen=True)
class Description:
    """What is known of a network without running it.

    Attributes:
        name: of the source, for messages.
        kind: see `Preset`.
        fields: of the card.
        skeleton: of its joints, where their number is not enough to tell.
    """

    name: str
    kind: str
    fields: dict[str, Any]
    skeleton: str | None = None


def _complete(source: Description, session: OnnxSession) -> OnnxCard:
    """The card, with what the network itself tells: its joints, or the kind of its boxes."""
    fields = source.fields
    if not {"width", "height"} <= set(fields):
        raise OccluposeError(f"{source.name}: says no size, and {session.file.name} takes any; write a card")
    outputs = session.try_out(fields["width"], fields["height"])
    if source.kind == "boxes":
        return make_card({"codec": _box_codec(outputs)} | fields)
    card = make_card({"skeleton": "coco17"} | fields)
    joints = _count_joints(outputs, card)
    if joints is None:
        wanted = "dets and keypoints" if source.kind == "people" else fields["codec"]
        raise OccluposeError(f"{session.file}: its output is {describe(outputs)}; {source.name} says {wanted}")
    skeleton = SKELETONS.get(joints, source.skeleton if joints == 14 else None)
    if skeleton is None:
        raise OccluposeError(
            f"{session.file}: has {joints} joints, of no skeleton that is known for {source.name}; write a card with"
            " joint_names, docs/front-ends.md shows how"
        )
    return make_card(fields | {"skeleton": skeleton})


def _count_joints(outputs: Outputs, card: OnnxCard) -> int | None:
    """Joints in the output of a pose network; None if it is another network."""
    if isinstance(card, KeypointCard):
        maps = find_maps(outputs, card)
        return None if maps is None else maps[0].shape[1]
    people = find_people(outputs)
    return None if people is None else people[1].shape[2]


def _box_codec(outputs: Outputs) -> str:
    """YOLOX's own output has one number for each class."""
    raw = [values for values in outputs.values() if values.ndim == 3 and values.shape[2] > 5]
    return "yolox" if len(outputs) == len(raw) == 1 else "boxes"
