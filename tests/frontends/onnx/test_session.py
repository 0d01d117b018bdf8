"""Inputs, types, providers: what a file may be, and the line for what it may not."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from occlupose.errors import OccluposeError
from occlupose.frontends.onnx.session import OnnxSession, choose_providers, find_output
from onnx_networks import constant

ONE = {"output": np.ones((1, 17, 16, 12), np.float32)}


def echo(file, *, dtype, batch="batch", height=4, width=4):
    """A network whose output is its input."""
    shape = (batch, 3, height, width)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input"], ["output"])],
        "echo",
        [helper.make_tensor_value_info("input", dtype, shape)],
        [helper.make_tensor_value_info("output", dtype, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    return OnnxSession(file, threads=1)


def refused(pattern, file, **options):
    with pytest.raises(OccluposeError, match=pattern) as caught:
        OnnxSession(file, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8])
def test_images_are_given_in_the_type_of_the_input(tmp_path, dtype):
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 4, 4)).astype(np.float32)
    outputs = list(echo(tmp_path / "a.onnx", dtype=dtype)(images))
    assert len(outputs) == 1
    np.testing.assert_array_equal(outputs[0]["output"], images)
    assert outputs[0]["output"].dtype == (np.uint8 if dtype == TensorProto.UINT8 else np.float32)


@pytest.mark.parametrize(("batch", "sizes"), [("any", [2, 2, 1]), (1, [1] * 5), (4, [4, 1])])
def test_any_number_of_images_goes_through_any_batch(tmp_path, batch, sizes):
    images = np.arange(5 * 48, dtype=np.float32).reshape(5, 3, 4, 4)
    outputs = [
        each["output"] for each in echo(tmp_path / "a.onnx", dtype=TensorProto.FLOAT, batch=batch)(images, batch=2)
    ]
    assert [len(values) for values in outputs] == sizes
    np.testing.assert_array_equal(np.concatenate(outputs), images)


def test_free_sides_take_the_size_of_the_card(tmp_path):
    session = echo(tmp_path / "a.onnx", dtype=TensorProto.FLOAT, height="height", width="width")
    assert (session.width, session.height) == (None, None)
    assert session.try_out(6, 5)["output"].shape == (1, 3, 5, 6)


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (
            {"inputs": ("image", "scale")},
            r"a\.onnx: has 2 inputs \(image, scale\); give a network with one,",
        ),
        ({"inputs": ()}, r"a\.onnx: has 0 inputs"),
        (
            {"shape": (1, 64, 48, 3)},
            r"its input is \[1, 64, 48, 3\]; .* that takes \(batch, 3, height, width\)$",
        ),
        ({"shape": (1, 3, 64)}, r"its input is \[1, 3, 64\]"),
        ({"shape": (1, 1, 64, 48)}, r"its input is \[1, 1, 64, 48\]"),
        ({"dtype": TensorProto.INT64}, r"its input is tensor\(int64\); give a network of float or uint8 images$"),
    ],
)
def test_other_inputs_are_refused(tmp_path, options, pattern):
    refused(pattern, constant(tmp_path / "a.onnx", ONE, **options))


def test_images_of_absurd_size_are_not_made(tmp_path):
    session = echo(tmp_path / "a.onnx", dtype=TensorProto.FLOAT, height="height", width="width")
    with pytest.raises(OccluposeError, match=r"a\.onnx: images of 1000000 x 64 are too large; at most 8192 x 8192$"):
        session.try_out(10**6, 64)
    for size in ({"batch": 10**9}, {"height": 10**6}):
        with pytest.raises(OccluposeError, match=r"a\.onnx: its input is .*; at most 1024 images of 8192 x 8192$"):
            echo(tmp_path / "a.onnx", dtype=TensorProto.FLOAT, **size)


def test_a_network_that_fails_is_one_line(tmp_path):
    """It adds two images whose sizes differ unless the image is 8 px wide."""
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["eight"], value=onnx.numpy_helper.from_array(np.zeros(8, np.float32))),
            helper.make_node("Add", ["input", "eight"], ["output"]),
        ],
        "sum",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ("batch", 3, "height", "width"))],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ("batch", 3, "height", "width"))],
    )
    file = tmp_path / "a.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    session = OnnxSession(file, threads=1)
    assert session.try_out(8, 4)["output"].shape == (1, 3, 4, 8)
    with pytest.raises(OccluposeError, match=r"a\.onnx: fails on images of 7 x 4 \(.*\); give another") as caught:
        session.try_out(7, 4)
    assert "\n" not in str(caught.value)


def test_threads_are_those_of_the_session(tmp_path):
    session = OnnxSession(constant(tmp_path / "a.onnx", ONE), threads=3)
    assert session._session.get_session_options().intra_op_num_threads == 3


CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
DML = "DmlExecutionProvider"
COREML = "CoreMLExecutionProvider"


@pytest.mark.parametrize(
    ("device", "available", "chosen"),
    [
        ("cpu", [CUDA, CPU], [CPU]),
        ("cuda", ["TensorrtExecutionProvider", CUDA, CPU], [(CUDA, {}), CPU]),
        ("cuda:1", [CUDA, CPU], [(CUDA, {"device_id": 1}), CPU]),
        ("cuda", [DML, CPU], [(DML, {}), CPU]),
        ("cuda", ["ROCMExecutionProvider", DML, CPU], [("ROCMExecutionProvider", {}), CPU]),
        ("mps", [COREML, "AzureExecutionProvider", CPU], [(COREML, {}), CPU]),
        ("directml", [CUDA, DML, CPU], [(DML, {}), CPU]),
    ],
)
def test_the_provider_of_a_device_comes_first_and_the_cpu_last(device, available, chosen):
    assert choose_providers(device, available) == chosen


@pytest.mark.parametrize(
    ("device", "pattern"),
    [
        ("cuda", r"^device cuda: onnxruntime cannot use it here; pip install onnxruntime-gpu, .* or give cpu$"),
        ("mps", r"^device mps: onnxruntime cannot use it here; pip install onnxruntime on macOS or give cpu$"),
        ("directml", r"pip install onnxruntime-directml or give cpu$"),
        ("abacus", r"^device abacus: unknown to onnxruntime; give cpu, cuda, mps, directml$"),
        ("cuda:first", r"^device cuda:first: unknown"),
    ],
)
def test_a_device_without_a_provider_is_refused_with_the_package_that_has_it(tmp_path, device, pattern):
    with pytest.raises(OccluposeError, match=pattern):
        choose_providers(device, ["AzureExecutionProvider", CPU])


def test_a_file_is_opened_on_the_device(tmp_path):
    file = constant(tmp_path / "a.onnx", ONE)
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        refused(r"^device cuda: onnxruntime cannot use it here; pip install onnxruntime-gpu", file, device="cuda")
    assert OnnxSession(file, device="cpu")._session.get_providers() == [CPU]


def test_outputs_are_found_by_name_and_else_by_shape():
    four = np.zeros((1, 2, 3, 4))
    outputs = {"a": four, "b": np.zeros((1, 2, 3))}
    assert find_output(outputs, "maps", lambda values: values.ndim == 4) is four
    assert find_output(outputs, "b", lambda values: values.ndim == 4) is None
    assert find_output(outputs | {"c": four}, "maps", lambda values: values.ndim == 4) is None
    assert find_output(outputs | {"c": four}, "c", lambda values: values.ndim == 4) is four
