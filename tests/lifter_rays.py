"""Rays through the joints of people, input of the live lifter."""

import numpy as np


def random_rays(count, frames, fps, seed=0):
    """(time, person, 22, 2) rays of people who move smoothly."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None, None] / fps
    rest = random.normal(0, (0.05, 0.1), (count, 22, 2)) + random.uniform(-0.4, 0.4, (count, 1, 2))
    swing = 0.02 * np.sin(random.uniform(1, 4, (count, 22, 2)) * time + random.uniform(0, 6, (count, 22, 2)))
    return (rest + swing + 0.1 * np.sin(0.5 * time)).astype(np.float32)
