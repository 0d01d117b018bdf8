"""Evaluates a .glb file as glTF 2.0 says: nodes, linear and stepped animation, and skinning."""

import json
import struct
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

COMPONENTS = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTH = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    """A file, by the names of its nodes."""

    def __init__(self, path: Path):
        content = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", content)
        assert (magic, version, length) == (b"glTF", 2, len(content))
        size, kind = struct.unpack_from("<I4s", content, 12)
        assert kind == b"JSON" and size % 4 == 0
        self.document = json.loads(content[20 : 20 + size])
        self.binary = content[20 + size + 8 :]
        self.names = [node["name"] for node in self.document["nodes"]]
        self.parents = {
            child: parent for parent, node in enumerate(self.document["nodes"]) for child in node.get("children", [])
        }

    def array(self, number: int) -> np.ndarray:
        accessor = self.document["accessors"][number]
        view = self.document["bufferViews"][accessor["bufferView"]]
        dtype = np.dtype(COMPONENTS[accessor["componentType"]])
        width = WIDTH[accessor["type"]]
        assert view.get("byteOffset", 0) % dtype.itemsize == 0
        assert view["byteLength"] == accessor["count"] * width * dtype.itemsize
        values = np.frombuffer(self.binary, dtype, accessor["count"] * width, view.get("byteOffset", 0))
        return values.reshape(accessor["count"], width) if width > 1 else values

    def times(self) -> np.ndarray:
        return self.array(self.document["animations"][0]["samplers"][0]["input"])

    def matrices(self, time: float) -> list[np.ndarray]:
        """Of each node in the scene, at a time."""
        local = [dict(node) for node in self.document["nodes"]]
        animation = self.document["animations"][0]
        for channel in animation["channels"]:
            target = channel["target"]
            local[target["node"]][target["path"]] = self._sample(animation["samplers"][channel["sampler"]], time)
        found: dict[int, np.ndarray] = {}

        def world(node: int) -> np.ndarray:
            if node not in found:
                own = _matrix(local[node])
                found[node] = world(self.parents[node]) @ own if node in self.parents else own
            return found[node]

        return [world(node) for node in range(len(local))]

    def places(self, time: float) -> dict[str, np.ndarray]:
        """Of each node."""
        return {name: matrix[:3, 3] for name, matrix in zip(self.names, self.matrices(time), strict=True)}

    def vertices(self, mesh: str, time: float) -> np.ndarray:
        node = self.document["nodes"][self.names.index(mesh)]
        attributes = self.document["meshes"][node["mesh"]]["primitives"][0]["attributes"]
        skin = self.document["skins"][node["skin"]]
        matrices = self.matrices(time)
        inverse = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        bones = np.stack([matrices[joint] for joint in skin["joints"]]) @ inverse
        rest = np.pad(self.array(attributes["POSITION"]), ((0, 0), (0, 1)), constant_values=1)
        total = np.zeros((len(rest), 3))
        for number in range(2):
            weights = self.array(attributes[f"WEIGHTS_{number}"])
            chosen = bones[self.array(attributes[f"JOINTS_{number}"])]
            total += np.einsum("vb,vbij,vj->vi", weights, chosen, rest)[:, :3]
        return total

    def _sample(self, sampler: dict, time: float) -> np.ndarray:
        times = self.array(sampler["input"])
        values = self.array(sampler["output"])
        time = float(np.clip(time, times[0], times[-1]))
        if sampler["interpolation"] == "STEP" or len(times) == 1:
            return values[np.searchsorted(times, time, "right") - 1]
        if values.shape[1] == 4:
            return Slerp(times, Rotation.from_quat(values))(time).as_quat()
        return np.array([np.interp(time, times, column) for column in values.T])


def _matrix(node: dict) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat(node.get("rotation", (0, 0, 0, 1))).as_matrix() * node.get("scale", (1, 1, 1))
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix
