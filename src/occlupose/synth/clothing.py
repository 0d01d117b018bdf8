"""Body meshes with clothes and hair. Ours."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from occlupose.bodies.body import PARTS, SIDES, BodyModel
from occlupose.skeletons import BODY26
from occlupose.synth.appearance import PersonAppearance

CLOTHING_OFFSET = 0.008
"""Largest distance of clothes and hair from the bare body, metres, so that they do not change its labels."""

SHADOW_CELL = 0.028
"""Cell size of the mesh for shadows, metres at rest: vertices in one cell are merged."""

_FOLD_SIZES = {"elbow": 0.055, "knee": 0.06, "shoulder": 0.06, "hip": 0.07, "ankle": 0.05, "wrist": 0.035}
"""Standard deviation of the region around each joint where cloth folds, metres."""

_HAIR_THICKNESS = (0.004, 0.0, 0.0022, 0.005, 0.0075, 0.0075)
"""Thickness of each of HAIR_STYLES, metres."""


class ClothedMesh:
    """The mesh of a body model with coordinates for textures; clothes smooth its surface.

    Arguments:
        cell: size of a cell in metres at rest, in which vertices are merged; 0 merges none.

    Attributes:
        rows: indices of the used vertices of the body.
        faces, coarse: corners of triangles; fewer triangles of the same vertices, for shadows.
        rest: vertices of an average body at rest, metres.
        limb: the same in coordinates of the vertex's limb: y is along the arm, or up.
        arm: metres down the arm from the shoulder; negative elsewhere.
        joint: proximity to a joint at which cloth folds, 0 to 1.
        head: 1 on head and neck.
        eyes: at rest, the left one first.
    """

    def __init__(self, body: BodyModel, cell: float = 0.0):
        self.rows, self.faces = _merged(body.texture.numpy(), body.faces.numpy().astype(np.int32), cell)
        self._corners = np.ascontiguousarray(self.faces.T)
        self.rest = body.texture.numpy()[self.rows].astype(np.float32)
        part_index = body.part.numpy()[self.rows]
        part = np.array([name.split("_", 1)[1] for name in PARTS])[part_index]
        side = np.array([name.split("_", 1)[0] for name in PARTS])[part_index]
        joints = (body.regressor @ body.texture + body.head_regressor @ body.heads).numpy()
        at = dict(zip(BODY26.joints, joints, strict=True))
        self.eyes = [at["left_eye"], at["right_eye"]]
        self.head = np.isin(part, ("face", "skull", "neck")).astype(np.float32)
        self.foot = part == "foot"
        self.leg = np.isin(part, ("thigh", "shank", "foot"))
        self.trunk = part == "trunk"
        self.arm = np.where(self.trunk, 0.0, -0.1).astype(np.float32)
        self.limb = self.rest - np.array([0, 0, 0.02], np.float32)
        for name in SIDES:
            self._lay_out(name, part, side, at)
        self.joint = np.zeros(len(self.rest), np.float32)
        for name in SIDES:
            for joint, size in _FOLD_SIZES.items():
                squared_distance = ((self.rest - at[f"{name}_{joint}"]) ** 2).sum(1)
                self.joint = np.maximum(self.joint, np.exp(-squared_distance / (2 * size**2)) * np.isin(side, (name,)))
        waist = np.exp(-((self.rest[:, 1] + 0.03) ** 2) / (2 * 0.05**2)) * self.trunk
        self.joint = np.maximum(self.joint, 0.7 * waist).astype(np.float32)
        kept, few = _merged(self.rest, self.faces, SHADOW_CELL)
        self.coarse = kept[few]
        shape = (len(self.rest), len(self.faces))
        ones = np.ones(self.faces.size, np.float32)
        self._gather = sparse.csr_matrix((ones, (self.faces.ravel(), np.arange(shape[1]).repeat(3))), shape)
        self._smooth(np.isin(part, ("trunk", "upper_arm", "forearm", "thigh", "shank")))

    def add_clothes(
        self, vertices: Float[np.ndarray, "vertex 3"], appearance: PersonAppearance | None
    ) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "vertex 3"]]:
        """Vertices with clothes and hair, moved by at most CLOTHING_OFFSET, and their normals."""
        bare = vertices[self.rows].astype(np.float32)
        if appearance is None:
            return bare, np.zeros_like(bare)
        covered, thickness = self._covered(appearance)
        normal = self.normals(bare)
        bare_and_normal = np.concatenate([bare, normal], 1)
        clothed_normal = normal.copy()
        for rows, matrix in self._smoothing:
            smooth = matrix @ bare_and_normal
            thickness[rows] += covered[rows] * np.einsum("ij,ij->i", smooth[:, :3] - bare[rows], normal[rows])
            clothed_normal[rows] = np.where(covered[rows, None], smooth[:, 3:], normal[rows])
        # along the normal only, so that textures stay in place
        return bare + np.clip(thickness, -CLOTHING_OFFSET, CLOTHING_OFFSET)[:, None] * normal, clothed_normal

    def _covered(self, appearance: PersonAppearance) -> tuple[Bool[np.ndarray, "vertex"], Float[np.ndarray, "vertex"]]:
        """Which vertices clothes cover, and the thickness of clothes or hair, metres."""
        y = self.rest[:, 1]
        top = (self.head < 0.5) & ~self.leg & (y < 0.275) & (self.arm > -0.05) & (self.arm < appearance.sleeve)
        top &= (self.arm > 0.02) | (y > appearance.hem)
        bottom = (self.leg | self.trunk) & (y < appearance.waist) & (y > appearance.leg)
        shoe = self.leg & (y < appearance.shoe_top)
        thickness = np.zeros_like(y)
        thickness[bottom] = 0.0035
        thickness[top] = 0.0065 if appearance.open > 0 else 0.004
        thickness[shoe] = 0.005
        hairy = (self.head > 0.5) & (y > np.where(self.rest[:, 2] > 0.05, 0.44, 0.36))
        rise = np.clip((y - np.where(self.rest[:, 2] > 0.05, 0.44, 0.35)) / 0.03, 0, 1)
        hair = 0.007 if appearance.hat else _HAIR_THICKNESS[appearance.hair_style]
        thickness = np.where(hairy, hair * rise, thickness)
        return top | bottom | shoe, thickness.astype(np.float32)

    def normals(self, vertices: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "vertex 3"]:
        """Normals of the vertices, from those of the faces around them weighted by area."""
        x, y, z = np.ascontiguousarray(vertices.T)
        first, second, third = self._corners
        ax = x[second] - x[first]
        ay = y[second] - y[first]
        az = z[second] - z[first]
        bx = x[third] - x[first]
        by = y[third] - y[first]
        bz = z[third] - z[first]
        face_normal = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)
        normal = self._gather @ face_normal
        normal /= np.maximum(np.sqrt(np.einsum("ij,ij->i", normal, normal)), 1e-12)[:, None]
        return normal

    def _lay_out(self, name: str, part: np.ndarray, side: np.ndarray, at: Mapping[str, Float[np.ndarray, "3"]]) -> None:
        """Coordinates along and around the arm and the leg of one side."""
        begin = 0.0
        for segment, (one, other) in _ARM.items():
            rows = (side == name) & (part == segment)
            axis = at[f"{name}_{other}"] - at[f"{name}_{one}"]
            length = float(np.linalg.norm(axis))
            axis = axis / length
            across = unit_vectors(np.cross(axis, [0.0, 0.0, 1.0]))
            offset = self.rest[rows] - at[f"{name}_{one}"]
            self.arm[rows] = begin + offset @ axis
            self.limb[rows] = np.stack([offset @ across, -self.arm[rows], offset @ np.cross(across, axis)], 1)
            begin += length
        rows = (side == name) & np.isin(part, ("thigh", "shank", "foot"))
        hip = at[f"{name}_hip"]
        ankle = at[f"{name}_ankle"]
        fraction = ((self.rest[rows, 1] - hip[1]) / (ankle[1] - hip[1]))[:, None]
        middle = hip + fraction * (ankle - hip)
        self.limb[rows] = self.rest[rows] - np.stack([middle[:, 0], np.zeros(len(middle)), middle[:, 2]], 1)

    def _smooth(self, clothed: Bool[np.ndarray, "vertex"]) -> None:
        """Matrices that smooth the vertices under clothes, and those of feet in shoes."""
        count = len(self.rest)
        one = self.faces[:, [0, 1, 2, 1, 2, 0]].ravel()
        other = self.faces[:, [1, 2, 0, 0, 1, 2]].ravel()
        adjacency = sparse.csr_matrix((np.ones(len(one), np.float32), (one, other)), (count, count))
        adjacency.data[:] = 1
        mean = sparse.diags(1 / np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1)) @ adjacency
        step = sparse.csr_matrix(0.5 * sparse.identity(count, dtype=np.float32) + 0.5 * mean)
        self._smoothing: list[tuple[np.ndarray, sparse.csr_matrix]] = []
        for rows, times in ((np.flatnonzero(clothed), 5), (np.flatnonzero(self.foot), 8)):
            matrix = step[rows]
            for _ in range(times - 1):
                matrix = matrix @ step
                matrix.data[matrix.data < 6e-3] = 0
                matrix.eliminate_zeros()
            matrix = sparse.diags(1 / np.asarray(matrix.sum(1)).ravel()) @ matrix
            self._smoothing.append((rows, matrix.tocsr().astype(np.float32)))


def _merged(
    rest: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"], cell: float
) -> tuple[Int[np.ndarray, "kept"], Int[np.ndarray, "fewer 3"]]:
    """Merge the vertices in each cell of a grid: the vertices that are kept, and the remaining triangles."""
    if not cell:
        return np.arange(len(rest)), faces
    cells = np.round(rest / cell).astype(np.int64)
    _, kept, inverse = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    merged = inverse.reshape(-1)[faces]
    a, b, c = merged.T
    return kept, merged[(a != b) & (b != c) & (c != a)].astype(np.int32)


_ARM = {"upper_arm": ("shoulder", "elbow"), "forearm": ("elbow", "wrist"), "hand": ("wrist", "hand")}


def unit_vectors(vectors: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 3"]:
    """Vectors of length 1; those of length 0 stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
