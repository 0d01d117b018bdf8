"""Number formats that a device supports natively."""

import torch


def bf16_is_native(device: str) -> bool:
    """Whether a device, "cpu" or "cuda", has bf16 arithmetic: half the time; emulated bf16 takes ten times as long."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and torch.cpu._is_avx512_bf16_supported()
