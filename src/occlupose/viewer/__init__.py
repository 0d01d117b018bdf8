"""What was found, to look at: people over the picture, and in 3D beside it."""

from occlupose.viewer.compose import Composer, preview, render
from occlupose.viewer.strip import strip

__all__ = ["Composer", "preview", "render", "strip"]
