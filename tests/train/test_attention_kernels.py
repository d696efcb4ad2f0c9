"""Which attention kernel a GPU takes: by shape, device and version. What it computes, tests on a GPU show."""

from types import SimpleNamespace

import pytest
import torch

from gpt2lab.train import attention_kernels

GPU = torch.device("cuda")


def takes_cudnn(device=GPU, dropout=0.0, deterministic=False):
    model = SimpleNamespace(config=SimpleNamespace(attention_dropout=dropout))
    torch.backends.cuda.enable_cudnn_sdp(False)
    with attention_kernels.for_blocks(device, model, deterministic):
        found = torch.backends.cuda.cudnn_sdp_enabled()
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    return found


@pytest.fixture
def here(monkeypatch):
    def be(capability, version):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: version)

    before = torch.backends.cuda.cudnn_sdp_enabled()
    be((9, 0), 92000)
    yield be
    torch.backends.cuda.enable_cudnn_sdp(before)


def test_blocks_on_a_large_gpu_take_cudnns(here):
    assert takes_cudnn()
    here((10, 0), 91501)
    assert takes_cudnn()


def test_nothing_else_does(here):
    assert not takes_cudnn(device=torch.device("cpu"))
    assert not takes_cudnn(dropout=0.1)
    assert not takes_cudnn(deterministic=True)
    for capability, version in (((8, 0), 92000), ((12, 0), 92000), ((9, 0), 91500), ((9, 0), None)):
        here(capability, version)
        assert not takes_cudnn()
