"""Effects of a camera on an image. Ours."""

import cv2
import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from occlupose.media import RGB
from occlupose.synth.appearance import SceneAppearance


def apply_camera_effects(image: RGB, appearance: SceneAppearance, generator: Generator) -> RGB:
    """Simulate lens, sensor and compression: blur, noise and JPEG."""
    scale = image.shape[1] / 512
    defocus = appearance.defocus * scale
    blurred = cv2.GaussianBlur(image, (0, 0), defocus) if defocus > 0.3 else image
    length, direction = appearance.motion
    if length * scale > 1:
        blurred = cv2.filter2D(blurred, -1, _motion_blur_kernel(length * scale, direction))
    noise = generator.standard_normal(image.shape, np.float32)
    if appearance.coarse > 0.3:
        cv2.GaussianBlur(noise, (3, 3), appearance.coarse, dst=noise)
        noise *= 1 + 1.2 * appearance.coarse
    value = blurred.astype(np.float32)
    variance = appearance.shot**2 * np.arange(256, dtype=np.float32) / 255 + appearance.read**2
    noise *= cv2.LUT(blurred, np.sqrt(variance).astype(np.float32))
    noise += value
    noisy = cv2.convertScaleAbs(np.maximum(noise, 0, out=noise))
    _, file = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, appearance.quality])
    decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _motion_blur_kernel(length: float, direction: float) -> Float[np.ndarray, "side side"]:
    """Kernel of linear motion blur, pixels and radians."""
    side = 2 * int(np.ceil(length / 2)) + 1
    middle = side // 2
    kernel = np.zeros((side, side), np.float32)
    for step in np.linspace(-0.5, 0.5, 4 * side):
        x = middle + step * (length - 1) * np.cos(direction)
        y = middle + step * (length - 1) * np.sin(direction)
        kernel[round(y), round(x)] += 1
    return kernel / kernel.sum()
