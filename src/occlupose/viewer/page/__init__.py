"""A page of people over time: video, 3D, timelines and joint angles in one HTML file that needs no network."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.media import Source
from occlupose.poses import Poses
from occlupose.viewer.page.content import page_content
from occlupose.viewer.page.footage import LONGEST_INSIDE, embed
from occlupose.viewer.page.html import assemble

if TYPE_CHECKING:  # else torch is imported for a page without angles
    from occlupose.kinematics import JointAngles

__all__ = ["LONGEST_INSIDE", "write_page"]


def write_page(
    poses: Poses,
    path: str | Path,
    source: Source | None = None,
    *,
    angles: "JointAngles | None" = None,
    names: Sequence[str] = (),
    title: str | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Path]:
    """Write a page that shows poses in a browser, without a server and without a network.

    The video is encoded again, at most 960 pixels long. Up to `LONGEST_INSIDE` seconds it lies in the page, above that
    in NAME_video.mp4 beside it.

    Arguments:
        path: of the .html; an existing file is replaced.
        source: of the poses; None or a live one: without video.
        angles: of the same poses, shown as curves.
        names: of the people, in the order of the record; by default "person" and the track id.
        title: by default the name of the source, or else of the page.
        progress: called with the number of frames of the video that are encoded, after every frame.

    Returns:
        The files that were written: the page, and the video if it lies beside it.

    Raises:
        OccluposeError: another suffix, more names than people, a source of another shape or that cannot be read, or a
            file that cannot be written; names the file and leaves none behind.
    """
    path = Path(path)
    if path.suffix.lower() != ".html":
        raise OccluposeError(f"{path}: a page is an .html; give its name this ending")
    if len(names) > len(poses.track_id):
        raise OccluposeError(f"names: {len(names)} for {len(poses.track_id)} people; give one for each, or fewer")
    if title is None:
        title = path.stem if source is None else Path(source.name).name
    footage = embed(poses, source, path, progress)
    try:
        content = page_content(poses, angles, names, title) | {"video": footage.content}
        with atomic(path) as part:
            # names of files need not be UTF-8
            part.write_text(assemble(title, content, footage.inside), encoding="utf-8", errors="replace")
    except BaseException:
        for file in footage.beside:
            file.unlink(missing_ok=True)
        raise
    return [path, *footage.beside]
