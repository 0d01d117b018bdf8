"""MuPoTS-3D's evaluation computed a second time: by loops, in millimetres, with the numbers of its own code."""

import math
from itertools import combinations

import numpy as np
from scipy.io import loadmat
from scipy.spatial.transform import Rotation

# 1-based numbers of its joints, as the evaluation speaks of them
ORDER_17 = [16, 2, 1, 17, *range(3, 15)]
PARENT_17 = [2, 16, 2, 3, 4, 2, 6, 7, 15, 9, 10, 15, 12, 13, 15, 15, 2]
ORDER_15 = [2, 1, *range(3, 15)]
PARENT_15 = [2, 15, *PARENT_17[2:15]]
GROUPS = {
    "head": [1],
    "neck": [2],
    "shoulder": [3, 6],
    "elbow": [4, 7],
    "wrist": [5, 8],
    "hip": [9, 12],
    "knee": [10, 13],
    "ankle": [11, 14],
}

# (joint, the joint it hangs on), and the last threshold of the AUC; ports look parents up by the place in the order
VARIANTS = {
    "official": ([(joint, PARENT_17[joint - 1]) for joint in ORDER_17], 150),
    "smap15": ([(joint, PARENT_15[joint - 1]) for joint in ORDER_15], 150),
    "gntcn": ([(joint, PARENT_17[place]) for place, joint in enumerate(ORDER_17)], 195),
    "mpi15": ([], 150),
}


def written(folder, name, variant):
    """Of each frame of a sequence, as its files have them: joints (mm) that are the variant's truth, their pixels, and
    which are occluded.
    """
    annotations = loadmat(folder / name / "annot.mat")["annotations"]
    labels = loadmat(folder / name / "occlusion.mat")["occlusion_labels"]
    own = "annot3" if variant == "gntcn" else "univ_annot3"
    return [
        tuple(
            np.stack(values)
            for values in (
                [one[own][0, 0].T for one in row],
                [one["annot2"][0, 0].T for one in row],
                [flags.ravel() for flags in occluded],
            )
        )
        for row, occluded in zip(annotations, labels, strict=True)
    ]


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def fitted(pose, truth):
    """A pose turned, scaled and moved to where it fits the truth best."""
    p = pose - pose.mean(0)
    t = truth - truth.mean(0)
    turned = Rotation.align_vectors(t, p)[0].apply(p)
    return turned * (turned * t).sum() / (p * p).sum() + truth.mean(0)


def mean_distance(one, other):
    return sum(distance(a, b) for a, b in zip(one, other, strict=True)) / len(one)


def matches(image, variant):
    """The prediction matched to each true person, or None."""
    truth, xy, predicted, predicted_xy, *_ = image
    found = []
    taken = set()
    for person in range(len(truth)):
        best = None
        best_score = 0
        for other in range(len(predicted)):
            if variant == "gntcn":
                score = 250 - mean_distance(fitted(predicted[other], truth[person]), truth[person])
            else:
                close = [
                    all(abs(xy[person][j - 1][axis] - predicted_xy[other][j - 1][axis]) < 40 for axis in (0, 1))
                    for j in range(2, 15)
                ]
                score = 0 if other in taken else sum(close)
            if score > best_score:
                best = other
                best_score = score
        found.append(best)
        if best is not None:
            taken.add(best)
    return found


def given_true_bones(pose, truth, bones):
    mapped = [list(joint) for joint in pose]
    for joint, above in bones:
        factor = distance(truth[joint - 1], truth[above - 1]) / distance(pose[joint - 1], pose[above - 1])
        for axis in range(3):
            mapped[joint - 1][axis] = mapped[above - 1][axis] + factor * (pose[joint - 1][axis] - pose[above - 1][axis])
    return np.array(mapped)


def errors_of(truth, pose, variant):
    """Of 14 joints: relative, absolute, after a Procrustes alignment."""
    mapped = given_true_bones(pose, truth, VARIANTS[variant][0])
    relative = [distance(mapped[j] - mapped[14], truth[j] - truth[14]) for j in range(14)]
    if variant == "gntcn":  # where the image has the root, and only its depth as predicted
        ray = [truth[14][0] / truth[14][2] * pose[14][2], truth[14][1] / truth[14][2] * pose[14][2], pose[14][2]]
        mapped = mapped - mapped[14] + ray
    absolute = [distance(mapped[j], truth[j]) for j in range(14)]
    aligned = fitted(pose[:14], truth[:14])
    return relative, absolute, [distance(aligned[j], truth[j]) for j in range(14)]


def root_precision(images):
    """Mean over all true roots of the best precision at which, or above whose recall, they are found."""
    ranked = sorted(
        ((-score, number, who) for number, one in enumerate(images) for who, score in enumerate(one[5])),
        key=lambda x: x[0],
    )
    free = [list(range(len(one[0]))) for one in images]
    people = sum(len(one[0]) for one in images)
    hits = 0
    curve = []
    for place, (_, number, who) in enumerate(ranked, 1):
        truth = images[number][0]
        predicted = images[number][2]
        nearest = min(free[number], key=lambda person: distance(truth[person][14], predicted[who][14]), default=None)
        if nearest is not None and distance(truth[nearest][14], predicted[who][14]) < 250:
            free[number].remove(nearest)
            hits += 1
        curve.append((hits, hits / place))
    return (
        sum(
            max((precision for found, precision in curve if found >= wanted), default=0)
            for wanted in range(1, people + 1)
        )
        / people
    )


def reference_scores(images, variant):
    """Figures by "all" and "matched" people, and by "root": the average precision of roots.

    Arguments:
        images: of each the truth (mm) and its pixels, predictions (mm) and theirs, which true joints are occluded,
            scores of predictions.
    """
    people = []
    pairs = []
    for image in images:
        truth, _, predicted, _, occluded, _ = image
        found = matches(image, variant)
        for person, other in enumerate(found):
            of = ([1e5] * 14,) * 3 if other is None else errors_of(truth[person], predicted[other], variant)
            people.append((other is not None, occluded[person], *of))
        for one, two in combinations(range(len(truth)), 2):
            both = found[one] is not None and found[two] is not None
            right = False
            if both:
                true = truth[one][14][2] - truth[two][14][2]
                predicted_depth = predicted[found[one]][14][2] - predicted[found[two]][14][2]
                right = true * predicted_depth > 0 or (abs(true) < 300 and abs(predicted_depth) < 300)
            pairs.append((both, right))
    return {
        "all": figures(people, [right for _, right in pairs], variant),
        "matched": figures([one for one in people if one[0]], [right for both, right in pairs if both], variant),
        "root": root_precision(images),
    }


def share(flags):
    flags = list(flags)
    return sum(flags) / len(flags) if flags else math.nan


def figures(people, pairs, variant):
    relative = [error for one in people for error in one[2]]
    absolute = [error for one in people for error in one[3]]
    aligned = [error for one in people for error in one[4]]
    thresholds = range(0, VARIANTS[variant][1] + 1, 5)
    by_state = {
        name: [error for one in people for error, occluded in zip(one[2], one[1][:14], strict=True) if occluded == flag]
        for name, flag in (("occ", 1), ("vis", 0))
    }
    result = {
        "PCK": share(error < 150 for error in relative),
        "PCK_abs": share(error < 150 for error in absolute),
        "AUC": share(error < threshold for threshold in thresholds for error in relative),
        "AUC_abs": share(error < threshold for threshold in thresholds for error in absolute),
        "PCOD": share(pairs),
    }
    for name, joints in GROUPS.items():
        result[name] = share(one[2][joint - 1] < 150 for one in people for joint in joints)
    for name, errors in by_state.items():
        result[f"PCK_{name}"] = share(error <= 150 for error in errors)
    if all(one[0] for one in people):
        lengths = {"MPJPE": relative, "MPJPE_abs": absolute, "PA-MPJPE": aligned}
        lengths |= {f"MPJPE_{name}": errors for name, errors in by_state.items()}
        result |= {name: share(errors) for name, errors in lengths.items()}
    return result
