"""People in space, and the maps that say where they are without an error."""

import numpy as np
import torch

from occlupose.codecs.scenes import TORSO, Scene, SceneMaps
from occlupose.methods.hupor.decode import Said
from occlupose.methods.hupor.grouping import BONES
from occlupose.skeletons import MPI15

FOCAL = 900.0


def somebody(random):
    """Joints of one person, metres, about a pelvis at the origin: an upright torso, limbs anywhere."""
    places = {"pelvis": np.zeros(3)}
    torso = np.array([random.normal(0, 0.15), -1, random.normal(0, 0.15)])
    places["neck"] = torso / np.linalg.norm(torso) * BONES["neck", "pelvis"] / 100
    turn = random.uniform(-np.pi, np.pi)
    aside = np.array([np.cos(turn), 0, np.sin(turn)])
    for (source, target), length in BONES.items():
        if target in places:
            continue
        if "hip" in target or "shoulder" in target:
            way = aside if "left" in target else -aside
        elif target == "head_top":
            way = np.array([0, -1, 0]) + random.normal(0, 0.2, 3)
        else:
            way = random.normal(0, 1, 3) + np.array([0, 0.8, 0])
        places[target] = places[source] + way / np.linalg.norm(way) * length / 100
    return np.stack([places[joint] for joint in MPI15.joints])


def crowd(random, count, maps=None, *, apart=3.0):
    """(person, joint, 3), metres: all of their joints in the picture, none in the same place as another's joint of that kind."""
    maps = maps or SceneMaps()
    centre, chosen = np.array([(maps.width - 1) / 2, (maps.height - 1) / 2]), []
    for _ in range(20_000):
        z = random.uniform(2.5, 9)
        at = (random.uniform([0, 0], [maps.width, maps.height]) - centre) * z / FOCAL
        person = somebody(random) + np.array([*at, z])
        xy = project(person, maps)
        inside = (xy > 2 * maps.stride).all() and (xy < np.array([maps.width, maps.height]) - 2 * maps.stride).all()
        limbs = np.linalg.norm(xy[maps.limbs[0]] - xy[maps.limbs[1]], axis=-1).min() > 2 * maps.stride
        free = all(np.linalg.norm(xy - project(other, maps), axis=-1).min() > apart * maps.stride for other in chosen)
        if inside and limbs and free:
            chosen.append(person)
        if len(chosen) == count:
            return np.stack(chosen)
    raise AssertionError("no room")


def project(xyz, maps):
    centre = np.array([(maps.width - 1) / 2, (maps.height - 1) / 2])
    return xyz[..., :2] / xyz[..., 2:] * FOCAL + centre


def scene(people, states, maps):
    """As the codec wants it; a batch of one."""
    xy = project(people, maps)
    tensors = (torch.from_numpy(part)[None].float() for part in (xy, people[..., 2]))
    return Scene(*tensors, torch.from_numpy(states)[None], torch.tensor([1 / FOCAL]))


def perfect(people, states, maps):
    """What `decode` is given, of networks that make no mistake."""
    given = scene(people, states, maps)
    visible, hidden = (maps.heatmaps(given, part, 4)[0] for part in ("visible", "hidden"))
    depths = torch.zeros(7, *maps.shape)
    number, value = (part[0] for part in maps.depths(given, "visible"))
    for place in range(len(TORSO)):
        known = value[:, place].isfinite()
        depths[place].view(-1)[number[known, place]] = value[known, place]
    merged = torch.maximum(visible, hidden)
    return Said(visible.numpy(), merged.numpy(), maps.fields(given, "all", 4)[0].numpy(), depths.numpy(), 1 / FOCAL)
