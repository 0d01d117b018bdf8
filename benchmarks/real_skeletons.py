"""The skeletons and the world that `occlupose run` finds in real video, beside the truth.

    python benchmarks/real_skeletons.py --video-truth TRUTH --videos VIDEOS

The video and its truth are those of `real.py`: a man who balances for 1.7 s, by a camera that looks down and is rolled.
`up_deg` is the angle to the true up, `floor_cm` how far the true lower ankle is from its true height over the floor,
with the true root moved to the estimated one (median of the frames), `up_sigma_deg` and `floor_sigma_cm` the stated
standard deviations, `up_inside` and `floor_inside` whether the truth is within two of them (for up the ellipse of
95.4 %). `thigh` to `forearm`: lengths by those of the truth (median distances of its joints), mean of both sides, after
one scale for all of them. `acceleration` of the joints relative to the root, m/s². Writes results/real_skeletons.csv.
"""

from pathlib import Path

import numpy as np
import tyro
from floor import up_error
from jaxtyping import Float
from real import BODY, CAMERAS, FIRST, HIPS, View, acceleration, find_person, load_view
from results import write
from rich.console import Console
from tables import markdown_table

from occlupose.methods.oanet.estimator import OANet
from occlupose.pipeline import run
from occlupose.poses import Poses

FRONT_ENDS = ("movenet", "movenet-occlusion")
LIMBS = {
    "thigh": ("hip", "knee"),
    "shank": ("knee", "ankle"),
    "upper_arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
}
WORLD = ("up_deg", "up_sigma_deg", "up_inside", "floor_cm", "floor_sigma_cm", "floor_inside")
COLUMNS = ("front_end", "view", *WORLD, *LIMBS, "acceleration")


def lift(front_end: str, video: Path, view: View) -> Poses:
    """The person in the truth, as `occlupose run` gives them."""
    poses = run(video, OANet(front_end), camera=view.camera).select(joint=BODY.joints)
    assert poses.observed is not None
    return poses.select(person=int(poses.track_id[find_person(poses.observed.select(joint=BODY.joints).xy, view)]))


def measure_world(
    poses: Poses, view: View, up: Float[np.ndarray, "3"], floor: Float[np.ndarray, "3"]
) -> dict[str, float]:
    """Errors of up and the floor, and whether the truth is as near as is stated.

    Arguments:
        up: true, in the camera's axes.
        floor: a point of the true floor.
    """
    if poses.world is None:
        return dict.fromkeys(WORLD, np.nan)
    angle, up_inside = up_error(poses.world, up)
    assert poses.xyz is not None
    roots = [xyz[:, HIPS].mean(1, keepdims=True) for xyz in (poses.xyz[FIRST:, 0], view.xyz[FIRST:])]
    ankles = view.xyz[FIRST:, BODY.index("left_ankle", "right_ankle")]
    lower = ((ankles - floor) @ up).argmin(-1)[:, None]
    true_heights = np.take_along_axis((ankles - floor) @ up, lower, 1)
    places = np.take_along_axis(ankles - roots[1] + roots[0], lower[..., None], 1)
    error = abs(float(np.nanmedian(poses.world.to_world(places)[..., 2] - true_heights)))
    covariance = poses.world.place_covariance(np.zeros(6), np.nanmedian(places, (0, 1)))
    sigma = float(np.sqrt(covariance[2]))
    return {
        "up_deg": angle,
        "up_sigma_deg": float(np.degrees(np.sqrt(np.linalg.eigvalsh(poses.world.covariance[:2, :2])[-1]))),
        "up_inside": float(up_inside),
        "floor_cm": 100 * error,
        "floor_sigma_cm": 100 * sigma,
        "floor_inside": float(error < 2 * sigma),
    }


def measure_limbs(poses: Poses, view: View) -> dict[str, float]:
    """Lengths of limbs / those of the truth, after one scale."""
    assert poses.xyz is not None
    ours = np.array(limb_lengths(poses.xyz[FIRST:, 0]))
    true = np.array(limb_lengths(view.xyz[FIRST:]))
    scale = (ours @ true) / (ours @ ours)
    return dict(zip(LIMBS, (scale * ours / true).tolist(), strict=True))


def limb_lengths(xyz: Float[np.ndarray, "time joint 3"]) -> list[float]:
    """Of LIMBS, m: means of both sides, medians over time."""
    lengths = []
    for ends in LIMBS.values():
        sides = [xyz[:, BODY.index(*(f"{side}_{end}" for end in ends))] for side in ("left", "right")]
        lengths.append(float(np.mean([np.nanmedian(np.linalg.norm(np.diff(one, axis=1), axis=-1)) for one in sides])))
    return lengths


def main(
    video_truth: Path,
    videos: Path,
    output: Path = Path(__file__).parent / "results" / "real_skeletons.csv",
) -> None:
    """Compares skeletons and world with the truth.

    Args:
        video_truth: folder with single_person.npz.
        videos: folder with cam01.mp4 and cam03.mp4.
        output: table to write.
    """
    rows = []
    for front_end in FRONT_ENDS:
        for name in CAMERAS:
            view = load_view(video_truth, name)
            with np.load(video_truth / "single_person.npz") as data:
                up = data[f"{name}/up"].astype(float)
                floor = data[f"{name}/floor_point"].astype(float)
            poses = lift(front_end, videos / f"{name}.mp4", view)
            figures = measure_world(poses, view, up, floor) | measure_limbs(poses, view)
            assert poses.xyz is not None
            xyz = poses.xyz[FIRST:, 0]
            figures["acceleration"] = acceleration(xyz - xyz[:, HIPS].mean(1, keepdims=True), poses.fps)
            rows.append((front_end, name, *(round(figures[column], 3) for column in COLUMNS[2:])))
    write(output, COLUMNS, rows)
    Console().print(markdown_table([dict(zip(COLUMNS, map(str, row), strict=True)) for row in rows]), soft_wrap=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
