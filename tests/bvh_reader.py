"""A small reader of BVH files, independent of the writer: where every joint and end site is in each frame."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation


def read_bvh(path: Path) -> tuple[dict[str, np.ndarray], float]:
    """Places, (frame, 3), of each joint and of each `NAME_end`, and the time of a frame in seconds."""
    words = iter(path.read_text().split())
    assert next(words) == "HIERARCHY"
    nodes = []  # name, parent, offset, channels
    above = []
    name = ""
    for word in words:
        if word in ("ROOT", "JOINT"):
            name = next(words)
        elif word == "End":
            assert next(words) == "Site"
            name = f"{nodes[above[-1]][0]}_end"
        elif word == "{":
            nodes.append([name, above[-1] if above else -1, None, []])
            above.append(len(nodes) - 1)
        elif word == "OFFSET":
            nodes[above[-1]][2] = np.array([float(next(words)) for _ in range(3)])
        elif word == "CHANNELS":
            nodes[above[-1]][3] = [next(words) for _ in range(int(next(words)))]
        elif word == "}":
            above.pop()
        elif word == "MOTION":
            break
    assert next(words) == "Frames:"
    frames = int(next(words))
    assert (next(words), next(words)) == ("Frame", "Time:")
    period = float(next(words))
    values = np.array([float(word) for word in words]).reshape(frames, -1)
    return _place(nodes, values), period


def _place(nodes, values):
    places = {}
    turned = []
    first = 0
    for name, parent, offset, channels in nodes:
        own = values[:, first : first + len(channels)]
        first += len(channels)
        where = np.tile(offset, (len(values), 1))
        rotation = Rotation.identity(len(values))
        if parent >= 0:
            rotation = turned[parent]
            where = places[nodes[parent][0]] + rotation.apply(where)
        for channel, value in zip(channels, own.T, strict=True):
            axis = channel[0].lower()
            if channel[1:] == "position":
                where = where + value[:, None] * np.eye(3)["xyz".index(axis)]
            else:
                rotation = rotation * Rotation.from_euler(axis, value[:, None], degrees=True)
        turned.append(rotation)
        places[name] = where
    assert first == values.shape[1]
    return places
