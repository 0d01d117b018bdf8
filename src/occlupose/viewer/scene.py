"""The people in 3D, on their floor, seen from a view that swings slowly from side to side."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d

from occlupose.cameras import Camera
from occlupose.poses import ABSENT, VISIBLE, Poses
from occlupose.viewer import ground, style

FIELD = 32.0  # of view of the panel, degrees
SWING, PERIOD = np.radians(50.0), 24.0  # to either side of the real camera's direction; seconds there and back
ELEVATION = np.radians(18.0)  # of the view above the horizon
MARGIN = 0.94  # of the panel is for the people
BODY = 0.15  # around a joint, m, is kept in the panel too
NEAR = 0.2  # nothing nearer to the view is drawn, m
FRUSTUM = 0.35  # length of the real camera, m
LIGHT = np.array([0.35, 1.0, 0.25])  # the way shadows fall: right, down and forward of the real camera
SKY: tuple[style.Colour, style.Colour] = ((32, 35, 42), (54, 59, 69))  # top and bottom of the panel
SHADOW = 150  # of 255 that is taken from the floor's light
FLOOR = (76, 82, 93)
GRID = (104, 111, 123)
CAMERA = (200, 206, 214)
RADII = {  # of a body around its joints, m; ours
    "head_top": 0.085,
    "neck_nose": 0.06,
    "nose": 0.03,
    "eye": 0.02,
    "ear": 0.03,
    "thorax": 0.07,
    "neck": 0.06,
    "spine": 0.085,
    "pelvis": 0.085,
    "shoulder": 0.055,
    "elbow": 0.042,
    "wrist": 0.034,
    "hip": 0.07,
    "knee": 0.056,
    "ankle": 0.042,
}
OTHER_RADIUS = 0.03


@cache
def radius(joint: str) -> float:
    """The radius of the body around a joint, m, by the joint's name without its side."""
    return RADII.get(joint.removeprefix("left_").removeprefix("right_"), OTHER_RADIUS)


@dataclass(frozen=True)
class View:
    """A pinhole camera somewhere in the real camera's frame: where it stands (m), its axes right, down, forward as
    rows, its lens.
    """

    eye: np.ndarray
    axes: np.ndarray
    lens: Camera

    def see(self, xyz: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Points in this view's frame, m."""
        return (xyz - self.eye) @ self.axes.T

    def segments(self, ends: Float[np.ndarray, "segment 2 3"]) -> Float[np.ndarray, "segment 2 2"]:
        """Segments given in the real camera's frame (m) as pixels of this view, cut where they pass behind it; the
        hidden ones left out.
        """
        seen = self.see(ends)
        seen = seen[(seen[..., 2] > NEAR).any(-1)]
        first = seen[:, :1]
        second = seen[:, 1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            cut = first + (NEAR - first[..., 2:]) / (second - first)[..., 2:] * (second - first)
        return self.lens.project(np.where(seen[..., 2:] > NEAR, seen, cut))


class Scene:
    """Draws the people of a clip in 3D, one moment at a time.

    The floor, the smoothed centre of the people and the distance that keeps all of them in the panel are found once,
    from the whole clip.
    """

    def __init__(self, poses: Poses, size: int, azimuth: float | None = None) -> None:
        """
        Arguments:
            poses: with `xyz`.
            size: of the square panel, px.
            azimuth: of the view, radians from the real camera's direction, to the right; None swings about that
                direction.

        Raises:
            ValueError: the poses are 2D.
        """
        if poses.xyz is None:
            raise ValueError("a 3D view needs poses with xyz")
        self.size = size
        self.skeleton = poses.skeleton
        self.limbs = style.limbs(poses.skeleton)
        self.xyz = poses.xyz if len(poses) else np.empty((1, 0, len(poses.skeleton), 3), np.float32)
        self.state = np.where(np.isfinite(poses.xyz).all(-1), poses.state, ABSENT)
        self.track_id = poses.track_id
        self.camera = poses.camera or Camera.from_fov(poses.width, poses.height)
        self.time = poses.time if len(poses.time) else np.zeros(1)
        self.azimuth = azimuth
        self.lens = Camera.from_fov(size, size, FIELD)
        self.plane = ground.fit(poses.xyz, poses.skeleton)
        self.up = self.plane.normal
        self.ahead = _unit(np.array([0.0, 0.0, 1.0]) - self.up[2] * self.up)
        self.right = np.cross(self.ahead, self.up)
        self.centre = self._follow(poses.fps)
        self.distance = self._keep_away(poses.fps)
        self.sky = _gradient(size)
        self.floor, self.grid = self._floor()

    def view(self, time: float) -> View:
        """Where the panel is seen from at a time, s."""
        axes = self._axes(np.array([time]))[0]
        centre = np.array([np.interp(time, self.time, along) for along in self.centre.T])
        return View(centre - np.interp(time, self.time, self.distance) * axes[2], axes, self.lens)

    def draw(self, index: int | None, time: float) -> UInt8[np.ndarray, "size size 3"]:
        """The panel at a time (s) with the people of one moment of the poses, or only the floor for None; RGB."""
        view = self.view(time)
        image = self.sky.copy()
        self._draw_floor(image, view)
        people = [] if index is None else self._bodies(view, index)
        self._draw_shadows(image, view, people)
        self._draw_camera(image, view)
        self._draw_people(image, people)
        height = float(np.clip(self.size / 45, 8, 24))
        style.text(
            image,
            "1 m grid",
            (self.size - style.text_width("1 m grid", height) - height, self.size - 0.8 * height),
            height,
            CAMERA,
        )
        return image

    def _axes(self, time: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time 3 3"]:
        """The view's right, down and forward at some times."""
        swing = SWING * np.sin(2 * np.pi * (time - self.time[0]) / PERIOD)
        azimuth = (swing if self.azimuth is None else np.full(len(time), self.azimuth))[:, None]
        level = np.cos(azimuth) * self.ahead - np.sin(azimuth) * self.right
        forward = np.cos(ELEVATION) * level - np.sin(ELEVATION) * self.up
        right = np.cross(level, self.up)
        return np.stack([right, np.cross(forward, right), forward], 1)

    def _follow(self, fps: float) -> Float[np.ndarray, "time 3"]:
        """The middle of the people over time, smoothed over a second, m; 4 m ahead if there is nobody."""
        middle = (_extreme(np.fmin, self.xyz) + _extreme(np.fmax, self.xyz)) / 2
        known = np.isfinite(middle).all(-1)
        if not known.any():
            return np.repeat(self.plane.below(np.array([[0.0, 0.0, 4.0]])) + 0.9 * self.up, len(self.time), 0)
        frames = np.arange(len(self.time))
        centre = np.stack([np.interp(frames, frames[known], along[known]) for along in middle.T], -1)
        return gaussian_filter1d(centre, fps, axis=0, mode="nearest")

    def _keep_away(self, fps: float) -> Float[np.ndarray, " time"]:
        """How far from the centre the view must stand over time for all people to fit in, changing slowly, m."""
        if not np.isfinite(self.xyz).any():
            return np.full(len(self.time), 5.0)
        seen = np.einsum("tpjk,tik->tpji", self.xyz - self.centre[:, None, None], self._axes(self.time))
        slope = MARGIN * np.tan(np.radians(FIELD / 2))
        need = np.maximum((np.abs(seen[..., :2]).max(-1) + BODY) / slope - seen[..., 2], BODY - seen[..., 2] + NEAR)
        need = np.nan_to_num(_extreme(np.fmax, need[..., None])[:, 0], nan=0.0)
        # two seconds to either side: a mean over maxima is never below the value itself
        window = 2 * round(2 * fps) + 1
        return uniform_filter1d(maximum_filter1d(need, window, mode="nearest"), window, mode="nearest")

    def _floor(self) -> tuple[Float[np.ndarray, "4 3"], Float[np.ndarray, "line 2 3"]]:
        """The corners of the floor and the lines of its grid, m, around where the people go; whole metres from below
        the real camera.
        """
        flat = np.stack([self.right, self.ahead], -1)
        places = np.concatenate([self.centre, _extreme(np.fmin, self.xyz), _extreme(np.fmax, self.xyz)]) @ flat
        low = np.floor(np.nanmin(places, 0) - 1.7)
        high = np.ceil(np.nanmax(places, 0) + 1.7)
        middle = np.median(self.centre @ flat, 0).round()
        low = np.maximum(low, middle - 30)
        high = np.minimum(high, middle + 30)
        across = [[[x, low[1]], [x, high[1]]] for x in np.arange(low[0], high[0] + 1)]
        along = [[[low[0], z], [high[0], z]] for z in np.arange(low[1], high[1] + 1)]
        corners = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]])
        start = self.plane.offset * self.up
        return start + corners @ flat.T, start + np.array(across + along) @ flat.T

    def _bodies(self, view: View, index: int) -> list["_Body"]:
        return [_Body(self, view, index, person) for person in np.flatnonzero(self.state[index].any(-1)).tolist()]

    def _draw_floor(self, image: np.ndarray, view: View) -> None:
        edges = view.segments(np.stack([self.floor, np.roll(self.floor, -1, 0)], 1))
        if len(edges):
            outline = cv2.convexHull(style.fixed(edges.reshape(-1, 2)))
            cv2.fillConvexPoly(image, outline, FLOOR, cv2.LINE_AA, style.FRACTION_BITS)
        cv2.polylines(
            image, list(style.fixed(view.segments(self.grid))), False, GRID, 1, cv2.LINE_AA, style.FRACTION_BITS
        )

    def _draw_shadows(self, image: np.ndarray, view: View, people: list["_Body"]) -> None:
        """Darkens the floor behind every limb, along the light."""
        light = LIGHT @ np.stack([self.right, -self.up, self.ahead])
        mask = np.zeros(image.shape[:2], np.uint8)
        for body in people:
            fallen = view.see(body.xyz + self.plane.height(body.xyz)[:, None] / LIGHT[1] * light)
            spot = self.lens.project(fallen)
            for names, first, second in body.limbs:
                if min(fallen[first, 2], fallen[second, 2]) > NEAR:
                    width = round(1.6 * self.lens.fx * radius(names[1]) / fallen[second, 2])
                    start, end = style.fixed(spot[[first, second]]).tolist()
                    cv2.line(mask, start, end, SHADOW, max(1, width), cv2.LINE_AA, style.FRACTION_BITS)
        if people:
            light_left = cv2.cvtColor(255 - cv2.blur(mask, (5, 5)), cv2.COLOR_GRAY2RGB)
            cv2.multiply(image, light_left, dst=image, scale=1 / 255)

    def _draw_camera(self, image: np.ndarray, view: View) -> None:
        """The real camera as a small frustum."""
        border = (
            np.array([[0, 0], [self.camera.width, 0], [self.camera.width, self.camera.height], [0, self.camera.height]])
            - 0.5
        )
        corners = FRUSTUM * self.camera.rays(border)
        lines = np.concatenate(
            [np.stack([corners, np.roll(corners, -1, 0)], 1), np.stack([np.zeros_like(corners), corners], 1)]
        )
        cv2.polylines(
            image, list(style.fixed(view.segments(lines))), False, CAMERA, 1, cv2.LINE_AA, style.FRACTION_BITS
        )

    def _draw_people(self, image: np.ndarray, people: list["_Body"]) -> None:
        """All limbs and joints of all people, the far ones first."""
        strokes = [stroke for body in people for stroke in body.strokes()]
        for stroke in sorted(strokes, key=lambda stroke: -stroke.depth):
            stroke.draw(image)


@dataclass(frozen=True)
class _Stroke:
    """A limb, or a joint (no end), to draw: where (px), how thick (radius, px) and how far away (m) it is."""

    start: style.Point
    end: style.Point | None
    thick: float
    depth: float
    paint: style.Colour
    solid: bool

    def draw(self, image: np.ndarray) -> None:
        if self.end is None:
            _joint(image, self.start, self.thick, self.paint, self.solid)
        else:
            _limb(image, self.start, self.end, self.thick, self.paint, self.solid)


class _Body:
    """One person at one moment, as a view sees them."""

    def __init__(self, scene: Scene, view: View, index: int, person: int) -> None:
        self.joints = scene.skeleton.joints
        self.state: list[int] = scene.state[index, person].tolist()
        self.xyz = scene.xyz[index, person]
        self.limbs = [
            (names, first, second) for names, first, second in scene.limbs if self.state[first] and self.state[second]
        ]
        self.base = style.colour(int(scene.track_id[person]))
        self.focal = scene.lens.fx
        seen = view.see(self.xyz)
        self.depth: list[float] = seen[:, 2].tolist()
        self.spot: list[style.Point] = view.lens.project(seen).tolist()

    def strokes(self) -> list[_Stroke]:
        """What is to be drawn of the person, in no order."""
        limbs = [self._limb(*limb) for limb in self.limbs]
        return limbs + [self._joint(joint) for joint, state in enumerate(self.state) if state]

    def _limb(self, names: tuple[str, str], first: int, second: int) -> _Stroke:
        depth = (self.depth[first] + self.depth[second]) / 2
        thick = self.focal * (radius(names[0]) + radius(names[1])) / 2 / depth
        solid = min(self.state[first], self.state[second]) == VISIBLE
        return _Stroke(self.spot[first], self.spot[second], thick, depth, style.sided(self.base, *names), solid)

    def _joint(self, joint: int) -> _Stroke:
        name = self.joints[joint]
        depth = self.depth[joint]
        thick = self.focal * radius(name) / depth
        return _Stroke(
            self.spot[joint],
            None,
            thick,
            depth - radius(name),
            style.sided(self.base, name),
            self.state[joint] == VISIBLE,
        )


def _extreme(which: np.ufunc, values: Float[np.ndarray, "time person joint d"]) -> Float[np.ndarray, "time d"]:
    """The smallest (np.fmin) or largest (np.fmax) value of all people's joints at every time; NaN where there is
    none.
    """
    return which.reduce(values, axis=(1, 2), initial=np.nan)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _gradient(size: int) -> np.ndarray:
    """The empty panel: an even change from the upper to the lower colour, RGB (size, size, 3)."""
    share = np.linspace(0, 1, size)[:, None, None]
    column = np.array(SKY[0]) * (1 - share) + np.array(SKY[1]) * share
    return np.ascontiguousarray(np.broadcast_to(np.rint(column), (size, size, 3)).astype(np.uint8))


def _limb(
    image: np.ndarray, start: style.Point, end: style.Point, thick: float, paint: style.Colour, solid: bool
) -> None:
    """A capsule lit from the upper left, of radius `thick` px; dashed and thin if not solid."""
    if not solid:
        pale = style.mix(paint, style.WHITE, 0.3)
        width = max(2.0, 0.45 * thick)
        rim = 0.9 * thick
        style.dashed(image, start, end, pale, width, edge=2, trim=(rim, rim))
        return
    style.line(image, start, end, style.mix(paint, style.INK, 0.75), 2 * thick + 2)
    style.line(image, start, end, style.mix(paint, style.INK, 0.35), 2 * thick)
    style.line(image, _lit(start, 0.15 * thick), _lit(end, 0.15 * thick), paint, 1.35 * thick)
    style.line(
        image, _lit(start, 0.3 * thick), _lit(end, 0.3 * thick), style.mix(paint, style.WHITE, 0.35), 0.5 * thick
    )


def _joint(image: np.ndarray, spot: style.Point, thick: float, paint: style.Colour, solid: bool) -> None:
    """A ball lit from the upper left, of radius `thick` px; a ring if not solid."""
    if not solid:
        hole = max(4.0, 0.75 * thick)
        rim = max(2.0, 0.3 * thick)
        style.ring(image, spot, hole, style.INK, rim + 2)
        style.ring(image, spot, hole, style.mix(paint, style.WHITE, 0.3), rim)
        return
    style.disc(image, spot, thick, style.mix(paint, style.INK, 0.35))
    style.disc(image, _lit(spot, 0.15 * thick), 0.7 * thick, paint)
    style.disc(image, _lit(spot, 0.3 * thick), 0.3 * thick, style.mix(paint, style.WHITE, 0.4))


def _lit(point: style.Point, shift: float) -> style.Point:
    """The point moved towards the light, to the upper left."""
    return point[0] - shift, point[1] - shift
