"""Random people in 3D, and their exact maps."""

import numpy as np
import torch

from occlupose.codecs.multi_person import TORSO, MultiPersonMaps, PeopleBatch
from occlupose.methods.hupor.decode import DecoderInput
from occlupose.methods.hupor.grouping import BONES
from occlupose.skeletons import MPI15

FOCAL = 900.0
ROOT = MPI15.index("pelvis")[0]


def random_person(random):
    """Joints of one person, metres, with the pelvis at the origin: an upright torso, random limbs."""
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


def random_people(random, count, maps=None, *, apart=2.5):
    """(person, joint, 3), metres: all joints in the image, none at the position of another person's joint of the same
    kind.

    Arguments:
        apart: minimum distance between joints of a kind, cells; maps show only one of closer ones.
    """
    maps = maps or MultiPersonMaps()
    size = np.array([maps.width, maps.height])
    chosen = []
    for _ in range(200_000):
        z = random.uniform(2.5, 9)
        at = (random.uniform([0, 0], size) - (size - 1) / 2) * z / FOCAL
        person = random_person(random) + np.array([*at, z])
        xy = project(person, maps)
        inside = (xy > 2 * maps.stride).all() and (xy < size - 2 * maps.stride).all()
        limbs = np.linalg.norm(xy[maps.limbs[0]] - xy[maps.limbs[1]], axis=-1).min() > 2 * maps.stride
        free = all(np.linalg.norm(xy - project(other, maps), axis=-1).min() > apart * maps.stride for other in chosen)
        if inside and limbs and free:
            chosen.append(person)
        if len(chosen) == count:
            return np.stack(chosen)
    raise AssertionError("no space left")


def random_states(random, count):
    """Joints visible or hidden; one torso joint of each person is visible, as depth maps contain no other people."""
    states = random.integers(1, 3, (count, len(MPI15))).astype(np.uint8)
    torso = MPI15.index(*TORSO)
    for person in states:
        person[random.choice(torso)] = 2
    return states


def project(xyz, maps):
    centre = np.array([(maps.width - 1) / 2, (maps.height - 1) / 2])
    return xyz[..., :2] / xyz[..., 2:] * FOCAL + centre


def people_batch(people, states, maps):
    """The people as a batch of one for the codec."""
    xy = project(people, maps)
    tensors = (torch.from_numpy(part)[None].float() for part in (xy, people[..., 2]))
    return PeopleBatch(*tensors, torch.from_numpy(states)[None], torch.tensor([1 / FOCAL]))


def exact_maps(people, states, maps):
    """The input of `decode` from perfect networks."""
    given = people_batch(people, states, maps)
    visible = maps.heatmaps(given, "visible", 4)[0]
    hidden = maps.heatmaps(given, "hidden", 4)[0]
    depths = torch.zeros(7, *maps.shape)
    numbers, values = maps.depths(given, "visible")
    for joint in range(len(TORSO)):
        known = values[0, :, joint].isfinite()
        depths[joint].view(-1)[numbers[0, known, joint]] = values[0, known, joint]
    merged = torch.maximum(visible, hidden)
    return DecoderInput(
        visible.numpy(), merged.numpy(), maps.fields(given, "all", 4)[0].numpy(), depths.numpy(), 1 / FOCAL
    )


def joint_errors(decoded, people, maps):
    """Error of each person's joints in px and in depth in metres; infinite where a joint was not detected. People are
    matched by pelvises.
    """
    truth = np.concatenate([project(people, maps), people[..., 2:]], -1)
    if not len(decoded.xy):
        return np.full((2, *truth.shape[:2]), np.inf)
    who = np.linalg.norm(decoded.xy[:, ROOT] - truth[:, None, ROOT, :2], axis=-1).argmin(1)
    off = np.linalg.norm(decoded.xy[who] - truth[..., :2], axis=-1), np.abs(decoded.z[who] - truth[..., 2])
    return np.stack([np.where(np.isnan(each), np.inf, each) for each in off])
