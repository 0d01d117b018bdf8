"""A 3D panel: the people on their ground, from a virtual camera that swings slowly from side to side."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d

from occlupose.cameras import Camera
from occlupose.poses import ABSENT, VISIBLE, Poses
from occlupose.viewer import style
from occlupose.viewer.ends import with_ends
from occlupose.viewer.ground import find_world

FIELD_OF_VIEW = 32.0  # degrees
SWING = np.radians(50.0)  # to either side of the real camera's direction
PERIOD = 24.0  # of the swing, s
ELEVATION = np.radians(18.0)  # of the virtual camera above the horizon
FILLED = 0.94  # fraction of the panel that the people fill at most
MARGIN = 0.15  # around every joint, m
NEAR = 0.2  # distance of the near clipping plane, m
RIGHT, FORWARD, UP = np.eye(3)
FRUSTUM = 0.35  # drawn length of the real camera, m
LIGHT = np.array([0.35, 0.25, -1.0])  # from a height of 1 m to its shadow, in the world
BACKGROUND: tuple[style.Colour, style.Colour] = ((32, 35, 42), (54, 59, 69))  # top and bottom of the panel
SHADOW = 150  # darkening of the floor, of 255
FLOOR = (76, 82, 93)
GRID = (104, 111, 123)
CAMERA = (200, 206, 214)
PALE = 0.3  # share of white in what is inferred
JOINT_RADII = {  # of the drawn body, m; ours
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
    "heel": 0.02,
    "big_toe": 0.02,
    "hand": 0.02,
}
OTHER_RADIUS = 0.03


@cache
def joint_radius(joint: str) -> float:
    """Radius of the drawn body at a joint, m."""
    return JOINT_RADII.get(joint.removeprefix("left_").removeprefix("right_"), OTHER_RADIUS)


@dataclass(frozen=True)
class PanelCamera:
    """The virtual camera of the panel, in the world's axes.

    Attributes:
        position: m.
        axes: right, down and forward, as rows.
        intrinsics: of the panel.
    """

    position: np.ndarray
    axes: np.ndarray
    intrinsics: Camera

    def to_camera(self, xyz: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Points in this camera's frame, m."""
        return (xyz - self.position) @ self.axes.T

    def project_segments(self, ends: Float[np.ndarray, "segment 2 3"]) -> Float[np.ndarray, "segment 2 2"]:
        """Segments in the world (m) in pixels, clipped at the near plane; those behind it left out."""
        seen = self.to_camera(ends)
        seen = seen[(seen[..., 2] > NEAR).any(-1)]
        first = seen[:, :1]
        second = seen[:, 1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            cut = first + (NEAR - first[..., 2:]) / (second - first)[..., 2:] * (second - first)
        return self.intrinsics.project(np.where(seen[..., 2:] > NEAR, seen, cut))


class Panel3D:
    """Draws the people of a clip in 3D, frame by frame, on the floor of their world.

    The world, if it is unknown, the smoothed centre of the people and the distance that keeps all of them in the panel
    are computed once from the whole clip. Places are in the world's axes.
    """

    def __init__(self, poses: Poses, width: int, height: int | None = None, *, azimuth: float | None = None) -> None:
        """
        Arguments:
            poses: with `xyz`.
            width, height: of the panel, px; square by default. Everybody fits into the square in its middle.
            azimuth: of the virtual camera, radians from the real camera's direction, to the right; None swings about
                that direction.

        Raises:
            ValueError: the poses are 2D.
        """
        if poses.xyz is None:
            raise ValueError("a 3D view needs poses with xyz")
        self.balls = len(poses.skeleton)  # joints that are drawn; of feet, hands and face the limbs are
        poses = with_ends(poses)
        assert poses.xyz is not None
        self.world = find_world(poses)
        self.width = width
        self.height = width if height is None else height
        self.skeleton = poses.skeleton
        self.limbs = style.limb_indices(poses.skeleton)
        xyz = poses.xyz if len(poses) else np.empty((1, 0, len(poses.skeleton), 3))
        self.xyz = self.world.to_world(xyz.astype(float))
        self.state = np.where(np.isfinite(poses.xyz).all(-1), poses.state, ABSENT)
        self.track_id = poses.track_id
        self.camera = poses.camera or Camera.from_fov(poses.width, poses.height)
        self.time = poses.time if len(poses.time) else np.zeros(1)
        self.azimuth = azimuth
        self.intrinsics = _intrinsics(self.width, self.height)
        self.centre = self._smooth_centre(poses.fps)
        self.distance = self._viewing_distance(poses.fps)
        self.background = _gradient(self.width, self.height)
        self.floor, self.grid = self._floor_grid()

    def camera_at(self, time: float) -> PanelCamera:
        """The virtual camera at a time, s."""
        axes = self._axes(np.array([time]))[0]
        centre = np.array([np.interp(time, self.time, along) for along in self.centre.T])
        return PanelCamera(centre - np.interp(time, self.time, self.distance) * axes[2], axes, self.intrinsics)

    def draw(self, index: int | None, time: float) -> UInt8[np.ndarray, "height width 3"]:
        """The panel at a time (s) with the people of one frame of the poses, or only the floor for None; RGB."""
        camera = self.camera_at(time)
        image = self.background.copy()
        self._draw_floor(image, camera)
        people = [] if index is None else self._bodies(camera, index)
        self._draw_shadows(image, camera, people)
        self._draw_camera(image, camera)
        self._draw_people(image, people)
        height = float(np.clip(min(self.width, self.height) / 45, 8, 24))
        left = self.width - style.text_width("1 m grid", height) - height
        style.draw_text(image, "1 m grid", (left, self.height - 0.8 * height), height, CAMERA)
        return image

    def _axes(self, time: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time 3 3"]:
        """Right, down and forward of the virtual camera at these times."""
        swing = SWING * np.sin(2 * np.pi * (time - self.time[0]) / PERIOD)
        azimuth = (swing if self.azimuth is None else np.full(len(time), self.azimuth))[:, None]
        level = np.cos(azimuth) * FORWARD - np.sin(azimuth) * RIGHT
        forward = np.cos(ELEVATION) * level - np.sin(ELEVATION) * UP
        right = np.cross(level, UP)
        return np.stack([right, np.cross(forward, right), forward], 1)

    def _smooth_centre(self, fps: float) -> Float[np.ndarray, "time 3"]:
        """Centre of the people over time, smoothed over a second, m; 4 m ahead without people."""
        middle = (_extreme(np.fmin, self.xyz) + _extreme(np.fmax, self.xyz)) / 2
        known = np.isfinite(middle).all(-1)
        if not known.any():
            return np.repeat([4 * FORWARD + 0.9 * UP], len(self.time), 0)
        frames = np.arange(len(self.time))
        centre = np.stack([np.interp(frames, frames[known], along[known]) for along in middle.T], -1)
        return gaussian_filter1d(centre, fps, axis=0, mode="nearest")

    def _viewing_distance(self, fps: float) -> Float[np.ndarray, " time"]:
        """Distance of the virtual camera from the centre over time at which all people fit in, m; it changes slowly."""
        if not np.isfinite(self.xyz).any():
            return np.full(len(self.time), 5.0)
        seen = np.einsum("tpjk,tik->tpji", self.xyz - self.centre[:, None, None], self._axes(self.time))
        slope = FILLED * np.tan(np.radians(FIELD_OF_VIEW / 2))
        need = np.maximum((np.abs(seen[..., :2]).max(-1) + MARGIN) / slope - seen[..., 2], MARGIN - seen[..., 2] + NEAR)
        need = np.nan_to_num(_extreme(np.fmax, need[..., None])[:, 0], nan=0.0)
        # two seconds to either side: a moving mean of the moving maximum is never below the value itself
        window = 2 * round(2 * fps) + 1
        return uniform_filter1d(maximum_filter1d(need, window, mode="nearest"), window, mode="nearest")

    def _floor_grid(self) -> tuple[Float[np.ndarray, "4 3"], Float[np.ndarray, "line 2 3"]]:
        """Corners of the floor and lines of its grid, m, around the people; whole metres from the origin."""
        places = np.concatenate([self.centre, _extreme(np.fmin, self.xyz), _extreme(np.fmax, self.xyz)])[:, :2]
        low = np.floor(np.nanmin(places, 0) - 1.7)
        high = np.ceil(np.nanmax(places, 0) + 1.7)
        middle = np.median(self.centre[:, :2], 0).round()
        low = np.maximum(low, middle - 30)
        high = np.minimum(high, middle + 30)
        across = [[[x, low[1], 0], [x, high[1], 0]] for x in np.arange(low[0], high[0] + 1)]
        along = [[[low[0], y, 0], [high[0], y, 0]] for y in np.arange(low[1], high[1] + 1)]
        corners = [[low[0], low[1], 0], [high[0], low[1], 0], [high[0], high[1], 0], [low[0], high[1], 0]]
        return np.array(corners), np.array(across + along)

    def _bodies(self, camera: PanelCamera, index: int) -> list["_Body"]:
        return [_Body(self, camera, index, person) for person in np.flatnonzero(self.state[index].any(-1)).tolist()]

    def _draw_floor(self, image: np.ndarray, camera: PanelCamera) -> None:
        edges = camera.project_segments(np.stack([self.floor, np.roll(self.floor, -1, 0)], 1))
        if len(edges):
            outline = cv2.convexHull(style.to_fixed_point(edges.reshape(-1, 2)))
            cv2.fillConvexPoly(image, outline, FLOOR, cv2.LINE_AA, style.FRACTION_BITS)
        style.draw_polylines(image, camera.project_segments(self.grid), GRID)

    def _draw_shadows(self, image: np.ndarray, camera: PanelCamera, people: list["_Body"]) -> None:
        """Darkens the floor along the light from every limb."""
        mask = np.zeros(image.shape[:2], np.uint8)
        for body in people:
            fallen = camera.to_camera(body.xyz + body.xyz[:, 2:] * LIGHT)
            point = self.intrinsics.project(fallen)
            for names, first, second in body.limbs:
                if min(fallen[first, 2], fallen[second, 2]) > NEAR:
                    width = round(1.6 * self.intrinsics.fx * joint_radius(names[1]) / fallen[second, 2])
                    start, end = style.to_fixed_point(point[[first, second]]).tolist()
                    cv2.line(mask, start, end, SHADOW, max(1, width), cv2.LINE_AA, style.FRACTION_BITS)
        if people:
            light_left = cv2.cvtColor(255 - cv2.blur(mask, (5, 5)), cv2.COLOR_GRAY2RGB)
            cv2.multiply(image, light_left, dst=image, scale=1 / 255)

    def _draw_camera(self, image: np.ndarray, camera: PanelCamera) -> None:
        """The real camera as a small frustum."""
        width = self.camera.width
        height = self.camera.height
        rays = self.camera.rays(np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5)
        corners = self.world.to_world(FRUSTUM * rays)
        base = np.stack([corners, np.roll(corners, -1, 0)], 1)
        sides = np.stack([np.broadcast_to(self.world.translation, corners.shape), corners], 1)
        style.draw_polylines(image, camera.project_segments(np.concatenate([base, sides])), CAMERA)

    def _draw_people(self, image: np.ndarray, people: list["_Body"]) -> None:
        """Draws limbs and joints of all people, the far ones first."""
        strokes = [stroke for body in people for stroke in body.strokes()]
        for stroke in sorted(strokes, key=lambda stroke: -stroke.depth):
            stroke.draw(image)


@dataclass(frozen=True)
class _Stroke:
    """A limb, or a joint if `end` is None: position (px), radius (px), depth (m), colour and state."""

    start: style.Point
    end: style.Point | None
    radius: float
    depth: float
    colour: style.Colour
    visible: bool

    def draw(self, image: np.ndarray) -> None:
        if self.end is None:
            _draw_joint(image, self.start, self.radius, self.colour, self.visible)
        else:
            _draw_limb(image, self.start, self.end, self.radius, self.colour, self.visible)


class _Body:
    """One person in one frame, in the panel."""

    def __init__(self, panel: Panel3D, camera: PanelCamera, index: int, person: int) -> None:
        self.joints = panel.skeleton.joints
        self.balls = panel.balls
        self.state: list[int] = panel.state[index, person].tolist()
        self.xyz = panel.xyz[index, person]
        self.limbs = [
            (names, first, second) for names, first, second in panel.limbs if self.state[first] and self.state[second]
        ]
        self.base = style.person_colour(int(panel.track_id[person]))
        self.focal = panel.intrinsics.fx
        seen = camera.to_camera(self.xyz)
        self.depth: list[float] = seen[:, 2].tolist()
        self.pixels: list[style.Point] = camera.intrinsics.project(seen).tolist()

    def strokes(self) -> list[_Stroke]:
        """The person's limbs and joints, in no order."""
        limbs = [self._limb(*limb) for limb in self.limbs]
        return limbs + [self._joint(joint) for joint, state in enumerate(self.state[: self.balls]) if state]

    def _limb(self, names: tuple[str, str], first: int, second: int) -> _Stroke:
        depth = (self.depth[first] + self.depth[second]) / 2
        radii = [joint_radius(name) for name in names]
        colour = style.side_colour(self.base, *names)
        visible = min(self.state[first], self.state[second]) == VISIBLE
        if second < self.balls:
            radius = self.focal * sum(radii) / 2 / depth
            return _Stroke(self.pixels[first], self.pixels[second], radius, depth, colour, visible)
        shade = colour if visible else style.mix_colours(colour, style.WHITE, PALE)
        return _Stroke(self.pixels[first], self.pixels[second], self.focal * min(radii) / depth, depth, shade, True)

    def _joint(self, joint: int) -> _Stroke:
        name = self.joints[joint]
        radius = self.focal * joint_radius(name) / self.depth[joint]
        depth = self.depth[joint] - joint_radius(name)
        colour = style.side_colour(self.base, name)
        return _Stroke(self.pixels[joint], None, radius, depth, colour, self.state[joint] == VISIBLE)


def _extreme(which: np.ufunc, values: Float[np.ndarray, "time person joint d"]) -> Float[np.ndarray, "time d"]:
    """Smallest (np.fmin) or largest (np.fmax) value of all joints in every frame; NaN where there is none."""
    return which.reduce(values, axis=(1, 2), initial=np.nan)


def _intrinsics(width: int, height: int) -> Camera:
    """A camera of this size that sees `FIELD_OF_VIEW` along its shorter side."""
    short = min(width, height)
    focal = Camera.from_fov(short, short, FIELD_OF_VIEW).fx
    return Camera(width=width, height=height, fx=focal, fy=focal, cx=(width - 1) / 2, cy=(height - 1) / 2)


def _gradient(width: int, height: int) -> np.ndarray:
    """A vertical colour gradient, RGB (height, width, 3)."""
    share = np.linspace(0, 1, height)[:, None, None]
    column = np.array(BACKGROUND[0]) * (1 - share) + np.array(BACKGROUND[1]) * share
    return np.ascontiguousarray(np.broadcast_to(np.rint(column), (height, width, 3)).astype(np.uint8))


def _draw_limb(
    image: np.ndarray, start: style.Point, end: style.Point, radius: float, colour: style.Colour, visible: bool
) -> None:
    """Draws a capsule lit from the upper left; dashed and thin if not visible."""
    if not visible:
        pale = style.mix_colours(colour, style.WHITE, PALE)
        width = max(2.0, 0.45 * radius)
        rim = 0.9 * radius
        style.draw_dashed_line(image, start, end, pale, width, edge=2, trim=(rim, rim))
        return
    style.draw_line(image, start, end, style.mix_colours(colour, style.INK, 0.75), 2 * radius + 2)
    style.draw_line(image, start, end, style.mix_colours(colour, style.INK, 0.35), 2 * radius)
    pale = style.mix_colours(colour, style.WHITE, 0.35)
    for shade, shift, width in ((colour, 0.15 * radius, 1.35 * radius), (pale, 0.3 * radius, 0.5 * radius)):
        style.draw_line(image, _towards_light(start, shift), _towards_light(end, shift), shade, width)


def _draw_joint(image: np.ndarray, point: style.Point, radius: float, colour: style.Colour, visible: bool) -> None:
    """Draws a ball lit from the upper left; a ring if not visible."""
    if not visible:
        hole = max(4.0, 0.75 * radius)
        rim = max(2.0, 0.3 * radius)
        style.draw_ring(image, point, hole, style.INK, rim + 2)
        style.draw_ring(image, point, hole, style.mix_colours(colour, style.WHITE, PALE), rim)
        return
    style.draw_disc(image, point, radius, style.mix_colours(colour, style.INK, 0.35))
    style.draw_disc(image, _towards_light(point, 0.15 * radius), 0.7 * radius, colour)
    pale = style.mix_colours(colour, style.WHITE, 0.4)
    style.draw_disc(image, _towards_light(point, 0.3 * radius), 0.3 * radius, pale)


def _towards_light(point: style.Point, shift: float) -> style.Point:
    """The point moved to the upper left, towards the light."""
    return point[0] - shift, point[1] - shift
