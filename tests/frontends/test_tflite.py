import numpy as np
import pytest

from occlupose.assets import blazepose_weights
from occlupose.errors import OccluposeError
from occlupose.frontends.tflite import TFLiteNetwork


@pytest.mark.assets
def test_outputs_are_found_by_their_shape():
    weights = blazepose_weights()["detector"]
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    shapes = {"one": (2254, 1), "twelve": (2254, 12)}
    first = TFLiteNetwork(weights, size=224, outputs=shapes, threads=1)(pixels)
    second = TFLiteNetwork(weights, size=224, outputs=dict(reversed(shapes.items())), threads=1)(pixels)
    for name, shape in shapes.items():
        assert first[name].shape == shape
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.assets
@pytest.mark.parametrize(
    ("size", "shape", "message"),
    [
        (256, (2254, 12), r"no input of shape \(256, 256, 3\), only \[\(224, 224, 3\)\]"),
        (224, (195,), r"no landmarks of shape \(195,\), only \[\(2254, 12\), \(2254, 1\)\]"),
    ],
)
def test_a_file_of_another_shape_is_refused(size, shape, message):
    with pytest.raises(OccluposeError, match=rf"^\S+pose_detection\.tflite: {message}; give the file of another"):
        TFLiteNetwork(blazepose_weights()["detector"], size=size, outputs={"landmarks": shape})


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), (b"", "not a"), (b"text" * 99, "not a")])
def test_a_file_that_is_no_network_is_refused(tmp_path, content, message):
    path = tmp_path / "a.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OccluposeError, match=rf"^\S+a\.tflite: {message}[^\n]*; give") as caught:
        TFLiteNetwork(path, size=8, outputs={})
    assert "\n" not in str(caught.value)
