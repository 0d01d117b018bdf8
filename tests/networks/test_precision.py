import torch

from occlupose.networks.precision import bf16_is_native


def test_emulated_bf16_is_not_native(monkeypatch):
    asked = []

    def supported(including_emulation=True):
        asked.append(including_emulation)
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert not bf16_is_native("cuda") and asked == [False]


def test_processors_say_for_themselves(monkeypatch):
    for native in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        assert bf16_is_native("cpu") is native
    assert not bf16_is_native("mps")
