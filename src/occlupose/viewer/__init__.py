"""Drawings of poses: over the image, and in 3D beside it."""

from occlupose.viewer.compose import Composer, PanelPlace, preview, render
from occlupose.viewer.label_preview import preview_labels

__all__ = ["Composer", "PanelPlace", "preview", "preview_labels", "render"]
