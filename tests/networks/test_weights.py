import sys

import pytest
import torch
from torch import nn

from occlupose.errors import OccluposeError
from occlupose.networks import weights
from other_user import without_rights

FORMAT = {"format": "occlupose test 1", "outputs": "2"}


def network(header):
    return nn.Sequential(nn.Linear(3, int(header["outputs"])), nn.BatchNorm1d(int(header["outputs"])))


def loaded(path):
    return weights.load(path, network, format="occlupose test 1", network="a test", command="pytest")


def test_weights_come_back_in_full_precision_with_their_header(tmp_path):
    original = network(FORMAT)
    original[1].num_batches_tracked += 5
    weights.save(
        {name: value.half() if value.ndim > 1 else value for name, value in original.state_dict().items()},
        FORMAT,
        tmp_path / "a.st",
    )
    back, header = loaded(tmp_path / "a.st")
    assert header == FORMAT
    assert not back.training
    for name, value in original.state_dict().items():
        assert torch.equal(back.state_dict()[name], value.half().float() if value.ndim > 1 else value), name
        assert back.state_dict()[name].dtype == value.dtype


def test_the_order_of_the_header_is_always_the_same(tmp_path):
    torch.manual_seed(0)
    tensors = network(FORMAT).state_dict()
    for name, order in (("a", list(FORMAT)), ("b", list(FORMAT)[::-1])):
        weights.save(tensors, {key: FORMAT[key] for key in order}, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "a.st"
    tensors = network(FORMAT).state_dict()
    for header, message in (
        ({}, "not the weights of a test"),
        (FORMAT | {"format": "occlupose test 2"}, "not the weights of a test (their format is 'occlupose test 2')"),
        (FORMAT | {"outputs": "3"}, "not readable as weights of a test: tensors do not match this version"),
        ({"format": FORMAT["format"]}, "not readable as weights of a test"),
    ):
        weights.save(tensors, header, path)
        with pytest.raises(OccluposeError) as refusal:
            loaded(path)
        assert str(refusal.value) == f"{path}: {message}; give a file that `pytest` wrote"


def test_networks_of_absurd_size_are_not_built(tmp_path):
    path = tmp_path / "a.st"
    tensors = network(FORMAT).state_dict()
    for count in ("8193", "1000000", "1" * 5000, "1_000_000"):
        weights.save(tensors, FORMAT | {"outputs": count}, path)
        with pytest.raises(OccluposeError, match=r"^[^\n]*: says outputs .*, at most 8192 is possible; give a file"):
            loaded(path)
    built = []

    def deep(header):
        built.extend(nn.Linear(1, 1) for _ in range(int(header["outputs"])))
        return nn.Sequential(*built)

    weights.save(tensors, FORMAT | {"outputs": "8192"}, path)
    with pytest.raises(OccluposeError, match="not readable as weights of a test; give a file"):
        weights.load(path, deep, format=FORMAT["format"], network="a test", command="pytest")
    assert len(built) < 1000


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    tensors = network(FORMAT).state_dict()
    tensors["0.weight"][1, 2] = torch.nan
    weights.save(tensors, FORMAT, tmp_path / "a.st")
    with pytest.raises(OccluposeError, match=r"a\.st: 0\.weight has values that are not numbers; give a file that"):
        loaded(tmp_path / "a.st")


def test_a_folder_is_no_file_of_weights(tmp_path):
    with pytest.raises(OccluposeError, match=r"(cannot be read|not readable)"):
        loaded(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="permissions are those of Unix")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "a.st"
    weights.save(network(FORMAT).state_dict(), FORMAT, path)
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    message = r"a\.st: cannot be read, check its permissions; give a file that"
    with without_rights(), pytest.raises(OccluposeError, match=message):
        loaded(path)


def test_devices():
    assert weights.to_device(network(FORMAT), "cpu")[0].weight.device.type == "cpu"
    with pytest.raises(OccluposeError, match=r"^device nosuch: torch cannot use it here \(.*\); give cpu$"):
        weights.to_device(network(FORMAT), "nosuch")
