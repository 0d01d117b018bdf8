"""Drawings of poses: over the image, in 3D beside it, and as a page for a browser."""

from occlupose.viewer.compose import Composer, PanelPlace, preview, render
from occlupose.viewer.label_preview import preview_labels
from occlupose.viewer.page import write_page

__all__ = ["Composer", "PanelPlace", "preview", "preview_labels", "render", "write_page"]
