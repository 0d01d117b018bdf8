"""Which numbers a device calculates fast with."""

import torch


def bf16_is_native(device: str) -> bool:
    """Whether a device, "cpu" or "cuda", calculates in bf16 itself. That halves the time; where it is emulated it takes
    ten times more.
    """
    return (
        torch.cuda.is_bf16_supported(including_emulation=False)
        if device == "cuda"
        else device == "cpu" and torch.cpu._is_avx512_bf16_supported()
    )
