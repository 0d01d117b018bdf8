"""OpenGL without a window: context, shaders and their uniforms."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float

from occlupose.errors import OccluposeError

if TYPE_CHECKING:
    import moderngl


def create_context() -> "moderngl.Context":
    """A context of OpenGL 3.3 without a window.

    Raises:
        OccluposeError: moderngl or EGL is missing.
    """
    hint = "labels alone work without it"
    try:
        import moderngl
    except ImportError as error:
        raise OccluposeError(
            f"images: moderngl is not installed; in a clone of occlupose, pip install '.[render]' ({hint})"
        ) from error
    try:
        return cast(Any, moderngl.create_standalone_context)(backend="egl")
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise OccluposeError(
            f"images: no EGL ({reason}); on Debian or Ubuntu: apt install libegl1 libgl1-mesa-dri; {hint}"
        ) from error


@cache
def read_shader(name: str) -> str:
    """The source of a shader, by the name of its file."""
    return files("occlupose.synth").joinpath("shaders", name).read_text(encoding="utf-8")


def set_uniforms(program: "moderngl.Program", values: Mapping[str, object]) -> None:
    """Set the uniforms that a program has, and ignore others."""
    for name, value in values.items():
        member = program.get(name, None)
        if member is not None:
            cast(Any, member).value = value


def uniform(program: "moderngl.Program", name: str) -> "moderngl.Uniform":
    """A uniform of a program."""
    return cast("moderngl.Uniform", program[name])


def draw_once(
    context: "moderngl.Context", program: "moderngl.Program", *columns: Float[np.ndarray, "corner 3"]
) -> None:
    """Draw triangles without keeping their buffer: position, or position, normal and rest."""
    buffer = context.buffer(np.concatenate(columns, 1).tobytes())
    names = ("position", "normal", "rest")[: len(columns)]
    array = context.vertex_array(program, [(buffer, " ".join(["3f"] * len(columns)), *names)])
    array.render()
    array.release()
    buffer.release()
