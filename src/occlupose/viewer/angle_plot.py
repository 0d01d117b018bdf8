"""Plots of joint angles over time, in which intervals with hidden joints are shaded."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from occlupose.errors import OccluposeError
from occlupose.files import atomic, name_by_person
from occlupose.kinematics import JointAngles
from occlupose.poses import VISIBLE

COLOURS = {"left": "#0072b2", "right": "#d55e00", "": "#444444"}
"""Of Okabe and Ito (2008)."""

COLUMNS = 4
PANEL = (4.2, 2.2)
"""Width and height of a panel, inches."""


def plot_angles(angles: JointAngles, path: str | Path) -> list[Path]:
    """Write a picture for each person: a panel for each angle, degrees over seconds, left and right in one.

    A band is two standard deviations wide to either side. Where a joint that shows an angle is hidden or absent, its
    time is shaded in its colour.

    Arguments:
        path: of a .png; of several people NAME_ID.png, by track id.

    Raises:
        OccluposeError: another suffix, nobody is there, or it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise OccluposeError(f"{path}: is no picture; give a .png")
    people = [person for person in range(len(angles.track_id)) if np.isfinite(angles.value[:, person]).any()]
    if not people:
        raise OccluposeError(f"{path}: no angle is known; give poses of at least one person")
    files = name_by_person(path, [int(angles.track_id[person]) for person in people])
    for file, person in zip(files, people, strict=True):
        with atomic(file) as temporary:
            _draw(angles, person).savefig(temporary, dpi=100)
    return files


def _draw(angles: JointAngles, person: int) -> Figure:
    panels: dict[str, list[tuple[str, int]]] = {}
    for side, title, index in _known(angles, person):
        panels.setdefault(title, []).append((side, index))
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * PANEL[0], rows * PANEL[1]), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True).ravel().tolist()
    for each, (title, curves) in zip(axes, panels.items(), strict=False):
        each.set_title(f"{title}, °", fontsize="medium")
        for side, index in curves:
            _curve(each, angles, person, index, side)
    for each in axes[len(panels) :]:
        each.set_axis_off()
    for each in axes[-COLUMNS - (rows * COLUMNS - len(panels)) :]:
        each.tick_params(labelbottom=True)
    lines = {line.get_label(): line for each in axes for line in each.get_lines()}
    figure.legend(lines.values(), lines.keys(), loc="outside upper right", ncols=len(lines), fontsize="small")
    figure.supxlabel("time, s; shaded: hidden", fontsize="medium")
    return figure


def _known(angles: JointAngles, person: int) -> Iterator[tuple[str, str, int]]:
    """Side, name without it and number of each angle that is known in some frame."""
    for index, name in enumerate(angles.names):
        side = name.partition("_")[0]
        side = side if side in COLOURS else ""
        if np.isfinite(angles.value[:, person, index]).any():
            yield side, name.removeprefix(f"{side}_").replace("_", " "), index


def _curve(axes: Axes, angles: JointAngles, person: int, index: int, side: str) -> None:
    value = np.degrees(np.unwrap(_filled(angles.value[:, person, index])))
    value[~np.isfinite(angles.value[:, person, index])] = np.nan
    band = 2 * np.degrees(angles.sigma[:, person, index])
    colour = COLOURS[side]
    axes.plot(angles.time, value, color=colour, linewidth=1.2, label=side or "middle")
    axes.fill_between(angles.time, value - band, value + band, color=colour, alpha=0.15, linewidth=0)
    hidden = (angles.state[:, person, index] < VISIBLE) & np.isfinite(value)
    axes.fill_between(
        angles.time, 0, 1, where=hidden, transform=axes.get_xaxis_transform(), color=colour, alpha=0.12, linewidth=0
    )


def _filled(values: np.ndarray) -> np.ndarray:
    """Values with the last known one where they are NaN."""
    last = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    return np.nan_to_num(values[last])
