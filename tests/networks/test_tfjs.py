import json

import numpy as np
import pytest
import torch

import tfjs_files as files
from occlupose.errors import OccluposeError
from occlupose.networks.pretrained import NETWORKS, PUBLISHED
from occlupose.networks.tfjs import parts, read, translate

CURE = r"; give the \.json of a TensorFlow\.js graph model, with its \.bin beside it$"
TENSORS = {
    "a/weights": np.arange(6, dtype=np.float16).reshape(2, 3),
    "a/shape": np.array([1, -1], np.int32),
    "a/nothing": np.zeros((0, 4), np.int32),
    "b": np.array(2.5, np.float32),
}


@pytest.fixture
def model(tmp_path):
    """A small graph model."""
    return files.write(tmp_path / "small.json", TENSORS)


def change(model, action):
    """The file with its first group of weights changed."""
    content = json.loads(model.read_text())
    action(content["weightsManifest"][0])
    model.write_text(json.dumps(content))
    return model


@pytest.mark.parametrize("number", [1, 3])
def test_tensors_are_read_as_they_are_stored(tmp_path, number):
    """Also where they lie across the ends of files."""
    model = files.write(tmp_path / "small.json", TENSORS, parts=number)
    found = read(model)
    assert list(found) == list(TENSORS)
    for name, values in TENSORS.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    assert len(parts(model)) == number and all(path.exists() for path in parts(model))


@pytest.mark.parametrize("network", PUBLISHED)
def test_weights_of_the_package_come_back_from_the_published_layout(tmp_path, network):
    assert files.same(translate(files.write_network(tmp_path, network), network), files.shipped(network))


def test_kernels_are_in_the_order_of_torch(tmp_path):
    """No shape would tell if two sides of a kernel were exchanged."""
    network = NETWORKS["movenet_multipose"]().eval()
    tensors = translate(files.write_network(tmp_path, "movenet_multipose"), "movenet_multipose")
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
    kernel = files.to_tensorflow(files.shipped("movenet_multipose"), "movenet_multipose")
    stem = kernel[f"{files.EXTRACTOR}/model/Conv1/Conv2D_weights"].astype(np.float32)
    patch = np.random.default_rng(0).normal(size=(3, 3, 3)).astype(np.float32)
    image = torch.from_numpy(patch).permute(2, 0, 1)[None]
    with torch.no_grad():
        (found,) = torch.nn.functional.conv2d(image, network.backbone.stem.weight)[..., 0, 0]
    np.testing.assert_allclose(found.numpy(), np.einsum("yxi,yxio->o", patch, stem), rtol=1e-4, atol=1e-5)


def test_a_file_that_is_missing(tmp_path, model):
    with pytest.raises(OccluposeError, match=rf"^.*none\.json: cannot be read \(no such file or directory\){CURE}"):
        read(tmp_path / "none.json")
    (tmp_path / "small.bin").unlink()
    with pytest.raises(OccluposeError, match=rf"^.*small\.bin: cannot be read \(no such file or directory\){CURE}"):
        read(model)


@pytest.mark.parametrize("size", [0, 23, 25])
def test_numbers_that_are_too_few_or_too_many(tmp_path, model, size):
    content = (tmp_path / "small.bin").read_bytes()
    assert len(content) == 24
    (tmp_path / "small.bin").write_bytes((content + b"x")[:size])
    with pytest.raises(OccluposeError, match=rf"^.*small\.bin: {size} bytes, small\.json describes 24{CURE}"):
        read(model)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"weightsManifest": 3}',
        b'{"weightsManifest": [{"paths": ["a"], "weights": [{}]}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_graph_model(model, content):
    model.write_bytes(content)
    with pytest.raises(OccluposeError, match=rf"^.*small\.json: not a TensorFlow\.js graph model{CURE}"):
        read(model)


@pytest.mark.parametrize(
    "name", ["../small.bin", "..", ".", "", "/etc/passwd", "a/small.bin", "a\\small.bin", "small\0.bin", "a\nb", "c:x"]
)
def test_numbers_are_only_read_beside_the_file(model, name):
    change(model, lambda group: group.update(paths=[name]))
    with pytest.raises(OccluposeError, match=rf"^.*small\.json: names .*, which is not a file beside it{CURE}"):
        read(model)
    with pytest.raises(OccluposeError, match="not a file beside it"):
        parts(model)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([-1, 6], "not a TensorFlow"),
        ([-2, -3], "not a TensorFlow"),
        ([1] * 100, "not a TensorFlow"),
        ([10**5000], "not a TensorFlow"),
        ([2.5], "not a TensorFlow"),
        ([2**30] * 8, rf"small\.bin: 24 bytes, small\.json describes {2 * 2**240 + 12}"),
        ([0, *[2**30] * 5], r"small\.bin: 24 bytes, small\.json describes 12"),
    ],
)
def test_shapes_that_cannot_be(model, shape, message):
    text = model.read_text()
    assert text.count("[2, 3]") == 1
    digits = ", ".join("1" + "0" * 5000 if side == 10**5000 else str(side) for side in shape)
    model.write_text(text.replace("[2, 3]", f"[{digits}]"))
    with pytest.raises(OccluposeError, match=f"^.*{message}.*{CURE}"):
        read(model)


def test_an_empty_tensor_of_a_shape_that_cannot_be(model):
    change(model, lambda group: group["weights"][2].update(shape=[0, *[2**30] * 5]))
    with pytest.raises(OccluposeError, match=rf"^.*small\.json: a/nothing cannot have the shape \[0, .*\]{CURE}"):
        read(model)


@pytest.mark.parametrize("change_to", [{"dtype": "string"}, {"quantization": {"dtype": "uint8"}}, {"name": 3}])
def test_numbers_of_an_unknown_kind(model, change_to):
    """Such as bytes with a scale, which would give other weights."""
    change(model, lambda group: group["weights"][0].update(change_to))
    with pytest.raises(OccluposeError, match="not a TensorFlow"):
        read(model)


def test_another_network(tmp_path, model):
    with pytest.raises(OccluposeError, match=r"^movenet: no such network; give movenet_thunder, .*, nanodet_g$"):
        translate(model, "movenet")
    thunder = files.write_network(tmp_path, "movenet_thunder")
    for name in ("movenet_multipose", "nanodet_g"):
        with pytest.raises(
            OccluposeError,
            match=rf"^.*movenet_thunder\.json: not {name}: no tensor fits .*; give the \.json of {name}$",
        ):
            translate(thunder, name)


def broken(network, layer, action):
    """The published tensors with one changed."""
    tensors = files.to_tensorflow(files.shipped(network), network)
    tensors[layer] = action(tensors[layer])
    return tensors


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(tmp_path, value):
    def spoil(values):
        values = values.copy()
        values[-1] = value
        return values

    path = files.write(tmp_path / "nanodet.json", broken("nanodet_g", "unknown_72", spoil))
    with pytest.raises(
        OccluposeError, match=r"^.*nanodet\.json: unknown_72 has numbers that are not finite; download it again$"
    ):
        translate(path, "nanodet_g")


@pytest.mark.parametrize(
    "action",
    [lambda values: values[:-1], lambda values: values.astype(np.int32), lambda values: values[None]],
    ids=["short", "integers", "another rank"],
)
def test_a_tensor_that_does_not_fit(tmp_path, action):
    path = files.write(tmp_path / "nanodet.json", broken("nanodet_g", "unknown_72", action))
    with pytest.raises(OccluposeError, match=r": not nanodet_g: no tensor fits heads\.2\.2\.bias; "):
        translate(path, "nanodet_g")
