"""Who is who in a recording that does not say it."""

import numpy as np
from jaxtyping import Float, Int

from occlupose.detections import Detections
from occlupose.skeletons import Skeleton
from occlupose.tracking import Assignment, ConfirmationBuffer, Tracker, fill_absent

__all__ = ["track_people"]


def track_people(
    frame: Int[np.ndarray, " row"],
    xy: Float[np.ndarray, "row joint 2"],
    score: Float[np.ndarray, "row joint"],
    skeleton: Skeleton,
    fps: float,
) -> Int[np.ndarray, " row"]:
    """The track id of each row, 1, 2, ..., by `tracking.Tracker`, without images; -1 for people who are nobody for long
    enough.

    Arguments:
        frame: number of each row's frame, ascending.
        xy: px; NaN where missing, but not everywhere in a row.
    """
    tracker = Tracker()
    buffer: ConfirmationBuffer[tuple[slice, Assignment]] = ConfirmationBuffer(tracker)
    ids = np.full(len(frame), -1)
    nobody = Detections.none(skeleton)

    def write(confirmed: list[tuple[slice, Assignment]]) -> None:
        for rows, assignment in confirmed:
            ids[rows] = assignment.ids

    frames, starts = np.unique(frame, return_index=True)
    for number, start, stop in zip(frames.tolist(), starts, [*starts[1:], len(frame)], strict=True):
        rows = slice(int(start), int(stop))
        people = Detections(skeleton=skeleton, xy=xy[rows], score=score[rows])
        time = (number - int(frame[0])) / fps
        write(buffer.push(time, (rows, tracker.update(fill_absent(people), time))))
        if rows.stop < len(frame) and frame[rows.stop] > number + 1:
            tracker.update(nobody, time + 1 / fps)
    write(buffer.finish())
    return ids
