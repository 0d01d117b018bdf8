"""The folder that MMDeploy writes, in the form of MMDeploy 1.3, with networks that find what is painted."""

import json

import numpy as np
import pytest

from occlupose.errors import OccluposeError
from occlupose.frontends import build_detector, build_frontend
from occlupose.frontends.onnx import OnnxPeople, load_network
from occlupose.media import Frame
from onnx_networks import IMAGENET, IMAGENET_BGR, People, SimCC, UDPMaps, constant, export, paint, write_json
from onnx_networks import Detections as DetectionsNetwork

SIMCC = ("simcc_x", "simcc_y")
CONFIG = "configs/body_2d_keypoint/rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192.py"


def pipeline(transforms, module, component, params, *, output_map=None):
    """pipeline.json, with what is not used too."""
    steps = {
        "type": "Task",
        "module": "Transform",
        "name": "Preprocess",
        "input": ["img"],
        "output": ["prep_output"],
        "transforms": [{"type": "LoadImageFromFile", "backend_args": None}, *transforms],
    }
    net = {
        "name": "estimator",
        "type": "Task",
        "module": "Net",
        "is_batched": True,
        "input": ["prep_output"],
        "output": ["infer_output"],
        "input_map": {"img": "input"},
        "output_map": output_map or {},
    }
    after = {"type": "Task", "module": module, "name": "postprocess", "component": component, "params": params}
    return {"pipeline": {"input": ["img"], "output": ["post_output"], "tasks": [steps, net, after]}}


def detail(task="PoseDetection", config=CONFIG, input_shape=None):
    return {
        "version": "1.3.1",
        "codebase": {"task": task, "codebase": "mmpose", "version": "1.3.2", "pth": "a.pth", "config": config},
        "codebase_config": {"type": "mmpose", "task": task},
        "onnx_config": {"type": "onnx", "save_file": "end2end.onnx", "input_shape": input_shape},
        "backend_config": {"type": "onnxruntime"},
        "calib_config": {},
    }


def normalise(scaling=IMAGENET, to_rgb=True):
    return {"type": "Normalize", "mean": list(scaling[0]), "std": list(scaling[1]), "to_rgb": to_rgb}


def top_down(size=(192, 256), padding=1.25, scaling=IMAGENET, to_rgb=True):
    return [
        {"type": "TopDownGetBboxCenterScale", "padding": padding, "image_size": list(size)},
        {"type": "TopDownAffine", "image_size": list(size)},
        normalise(scaling, to_rgb),
        {"type": "ImageToTensor", "keys": ["img"]},
        {"type": "Collect", "keys": ["img"], "meta_keys": ["center", "scale"]},
    ]


SIMCC_PARAMS = {
    "flip_test": True,
    "type": "SimCCLabel",
    "input_size": [192, 256],
    "sigma": [4.9, 5.66],
    "simcc_split_ratio": 2.0,
    "normalize": False,
    "use_dark": False,
    "export_postprocess": False,
}
UDP_PARAMS = {
    "flip_test": True,
    "flip_mode": "heatmap",
    "shift_heatmap": False,
    "type": "UDPHeatmap",
    "input_size": [192, 256],
    "heatmap_size": [48, 64],
    "sigma": 2,
    "post_process": "default",
    "use_udp": True,
}
MSRA_PARAMS = UDP_PARAMS | {"type": "MSRAHeatmap", "use_udp": False}
HEATMAPS = "TopdownHeatmapSimpleHeadDecode"


def simcc_export(folder, *, network=None, transforms=None, params=None, **details):
    file = folder / "end2end.onnx"
    if network is not None:
        export(file, network, width=192, height=256, outputs=SIMCC)
    content = pipeline(transforms or top_down(), "mmpose", "SimCCLabelDecode", SIMCC_PARAMS | (params or {}))
    write_json(folder / "pipeline.json", content)
    write_json(folder / "detail.json", detail(**details))
    return str(file)


def profiles(joints, width=192, height=256, split=2):
    """SimCC's outputs for one crop, joint j in class j along x and 2 j along y."""
    classes = np.arange(joints)
    x = np.eye(int(width * split))[classes].astype(np.float32)[None]
    return dict(zip(SIMCC, (x, np.eye(int(height * split))[2 * classes].astype(np.float32)[None]), strict=True))


def crop_of(joint, x, y):
    """A black crop with one joint painted, 5 x 5 px."""
    image = np.zeros((1, 256, 192, 3), np.uint8)
    paint(image[0], joint, x - 2, y - 2, x + 3, y + 3, 0.8)
    return image


@pytest.mark.parametrize(("order", "to_rgb"), [("rgb", True), ("bgr", False)])
def test_simcc(tmp_path, order, to_rgb):
    """The card is that of the files: padding, mean and standard deviation too."""
    scaling = ((120.0, 115.0, 100.0), (60.0, 50.0, 55.0))
    transforms = top_down(padding=1.5, scaling=scaling, to_rgb=to_rgb)
    network = load_network(simcc_export(tmp_path, network=SimCC(17, scaling, order), transforms=transforms), threads=1)
    xy, score = network(crop_of(7, 61, 90))
    np.testing.assert_array_equal(xy[0, 7], (61, 90))
    np.testing.assert_allclose(score[0, 7], 0.8, atol=3e-3)
    assert network.crop.padding == 1.5 and network.crop.grid == "stride" and network.skeleton.name == "coco17"


def test_udp_heatmaps(tmp_path):
    file = export(tmp_path / "end2end.onnx", UDPMaps(26), width=192, height=256, outputs=["output"])
    write_json(tmp_path / "pipeline.json", pipeline(top_down(), "mmpose", HEATMAPS, UDP_PARAMS))
    network = load_network(str(file), threads=1)
    xy, _ = network(crop_of(20, 61, 90))
    np.testing.assert_allclose(xy[0, 20], (61, 90), atol=0.02)
    assert network.crop.grid == "corners" and network.skeleton.name == "halpe26"


@pytest.mark.parametrize(
    ("params", "codec", "expected"),
    [
        (MSRA_PARAMS, "msra", (4 * 10.25, 4 * 20)),
        (MSRA_PARAMS | {"unbiased": True}, "heatmap", None),
        ({"use_udp": True, "modulate_kernel": 17, "target_type": "GaussianHeatmap"}, "udp", None),
        ({"post_process": "unbiased", "use_udp": False}, "heatmap", None),
    ],
)
def test_decoders_of_heatmaps(tmp_path, params, codec, expected):
    """A peak in cell (10, 20) that is higher to the right."""
    maps = np.zeros((1, 17, 64, 48), np.float32)
    maps[:, :, 20, 9:12] = [0.3, 0.9, 0.6]
    file = constant(tmp_path / "end2end.onnx", {"output": maps}, shape=(1, 3, 256, 192))
    write_json(tmp_path / "pipeline.json", pipeline(top_down(), "mmpose", HEATMAPS, params))
    network = load_network(str(file))
    assert network.card.codec == codec and network.card.blur == params.get("modulate_kernel", 11)
    xy, score = network(np.zeros((1, 256, 192, 3), np.uint8))
    assert 40 < xy[0, 0, 0] < 43
    np.testing.assert_allclose(score, 0.9, rtol=1e-6)
    if expected is not None:
        np.testing.assert_allclose(xy, np.full((1, 17, 2), expected))


def test_coordinates(tmp_path):
    points = np.full((1, 17, 2), (0.25, 0.5), np.float32)
    file = constant(tmp_path / "end2end.onnx", {"output": points}, shape=(1, 3, 256, 192))
    params = {"type": "RegressionLabel", "input_size": [192, 256]}
    write_json(tmp_path / "pipeline.json", pipeline(top_down(), "mmpose", "DeepposeRegressionHeadDecode", params))
    xy, _ = load_network(str(file))(np.zeros((1, 256, 192, 3), np.uint8))
    np.testing.assert_allclose(xy, np.full((1, 17, 2), (47.5, 127.5)))


def test_sizes_of_the_decoder_come_before_those_of_the_steps(tmp_path):
    """Published folders hold the size of another network in their steps."""
    outputs = profiles(17, 256, 256)
    constant(tmp_path / "end2end.onnx", outputs, shape=("batch", 3, "height", "width"))
    file = simcc_export(tmp_path, params={"input_size": [256, 256]}, input_shape=[192, 256])
    assert load_network(file).crop.width == 256
    file = simcc_export(tmp_path, params={"input_size": None}, transforms=top_down((128, 256)), input_shape=[192, 256])
    with pytest.raises(OccluposeError, match=r"its output is .*\(1, 17, 512\); .*pipeline\.json says simcc$"):
        load_network(file)  # 128 px


def test_without_any_size_a_card_is_asked_for(tmp_path):
    constant(tmp_path / "end2end.onnx", profiles(17), shape=("batch", 3, "height", "width"))
    steps = [step | {"image_size": None} for step in top_down()]
    file = simcc_export(tmp_path, params={"input_size": None}, transforms=steps)
    with pytest.raises(
        OccluposeError, match=r"pipeline\.json: says no size, and end2end\.onnx takes any; write a card$"
    ):
        load_network(file)
    file = simcc_export(tmp_path, params={"input_size": None}, transforms=steps, input_shape=[192, 256])
    assert load_network(file).crop.height == 256


def test_a_size_that_the_network_does_not_take_is_refused(tmp_path):
    constant(tmp_path / "end2end.onnx", profiles(17, 256, 256), shape=("batch", 3, 256, 256))
    with pytest.raises(OccluposeError, match=r"takes images of 256 x 256; its card says 192 x 256$"):
        load_network(simcc_export(tmp_path))


@pytest.mark.parametrize(
    ("joints", "config", "skeleton"),
    [
        (17, CONFIG, "coco17"),
        (26, "configs/body_2d_keypoint/rtmpose/body8/rtmpose-m_8xb512-700e_body8-halpe26-256x192.py", "halpe26"),
        (133, "configs/wholebody_2d_keypoint/rtmpose/coco-wholebody/a.py", "wholebody133"),
        (16, "configs/body_2d_keypoint/rtmpose/mpii/rtmpose-m_8xb64-210e_mpii-256x256.py", "mpii16"),
        (14, "configs/body_2d_keypoint/rtmpose/crowdpose/rtmpose-m_8xb64-210e_crowdpose-256x192.py", "crowdpose14"),
        (14, "C:\\mmpose\\configs\\body_2d_keypoint\\topdown_heatmap\\aic\\a.py", "aic14"),
    ],
)
def test_joints_by_their_number_and_the_name_of_the_configuration(tmp_path, joints, config, skeleton):
    constant(tmp_path / "end2end.onnx", profiles(joints), shape=("batch", 3, 256, 192))
    assert load_network(simcc_export(tmp_path, config=config)).skeleton.name == skeleton


@pytest.mark.parametrize(
    ("joints", "config", "pattern"),
    [
        (
            14,
            CONFIG,
            r"has 14 joints, of no skeleton that is known for .*pipeline\.json; write a card",
        ),
        (
            17,
            "configs/animal_2d_keypoint/rtmpose/ap10k/rtmpose-m_a.py",
            r"detail\.json: of rtmpose-m_a\.py, whose",
        ),
        (21, "configs/hand_2d_keypoint/rtmpose/coco_wholebody_hand/a.py", r"whose joints are not those of people$"),
    ],
)
def test_joints_that_are_not_known_are_refused(tmp_path, joints, config, pattern):
    constant(tmp_path / "end2end.onnx", profiles(joints), shape=("batch", 3, 256, 192))
    with pytest.raises(OccluposeError, match=pattern):
        load_network(simcc_export(tmp_path, config=config))


def test_outputs_under_the_names_that_the_files_give_them(tmp_path):
    """The profiles are as long as each other, so only the names tell which is which."""
    x, y = profiles(17, 256, 256).values()
    constant(tmp_path / "end2end.onnx", {"700": y, "output": x}, shape=("batch", 3, 256, 256))
    content = pipeline(
        top_down((256, 256)),
        "mmpose",
        "SimCCLabelDecode",
        SIMCC_PARAMS | {"input_size": [256, 256]},
        output_map={"output": "simcc_x", "700": "simcc_y"},
    )
    write_json(tmp_path / "pipeline.json", content)
    xy, _ = load_network(str(tmp_path / "end2end.onnx"))(np.zeros((1, 256, 256, 3), np.uint8))
    np.testing.assert_allclose(xy[0], np.stack([np.arange(17) / 2, np.arange(17)], -1))


def det_pipeline(scaling, to_rgb, *, resize="Resize", size=(320, 320)):
    shrink = {"type": resize, "keep_ratio": True, "size" if resize == "Resize" else "scale": list(size)}
    transforms = [
        shrink | ({"pad_val": {"img": 114}} if resize != "Resize" else {}),
        *([{"type": "Pad", "size": list(size), "pad_val": {"img": [114, 114, 114]}}] if resize == "Resize" else []),
        normalise(scaling, to_rgb),
        {"type": "Pad", "size_divisor": 32},
        {"type": "DefaultFormatBundle"},
    ]
    params = {"score_thr": 0.05, "nms": {"type": "nms", "iou_threshold": 0.6}, "max_per_img": 100}
    return pipeline(transforms, "mmdet", "ResizeBBox", params)


@pytest.mark.parametrize(
    ("scaling", "to_rgb", "resize"),
    [(IMAGENET_BGR, False, "Resize"), (((0.0,) * 3, (255.0,) * 3), True, "LetterResize")],
)
def test_detectors(tmp_path, scaling, to_rgb, resize):
    """An image of 640 x 400 px is half as large in the input, and 60 px lower where it is centred."""
    network = DetectionsNetwork(4, scaling, "rgb" if to_rgb else "bgr")
    file = export(tmp_path / "end2end.onnx", network, width=320, height=320, outputs=["dets", "labels"])
    write_json(tmp_path / "pipeline.json", det_pipeline(scaling, to_rgb, resize=resize))
    write_json(tmp_path / "detail.json", detail("ObjectDetection", "mmdet/configs/rtmdet/rtmdet_m_8xb32-300e_coco.py"))
    image = np.zeros((400, 640, 3), np.uint8)
    paint(image, 1, 100, 40, 180, 300, 0.6)
    detector = build_detector(file, threads=1)
    assert detector.card.align == ("centre" if resize == "LetterResize" else "corner") and detector.card.grey == 114
    np.testing.assert_allclose(detector([image])[0].boxes, [[99.5, 39.5, 179.5, 299.5]], atol=1e-3)


def test_one_stage_networks(tmp_path):
    file = export(tmp_path / "end2end.onnx", People(2), width=320, height=320, outputs=["dets", "keypoints"])
    transforms = [
        {"type": "BottomupResize", "input_size": [320, 320], "pad_val": [114, 114, 114]},
        normalise(((0.0,) * 3, (1.0,) * 3), to_rgb=False),
        {"type": "ImageToTensor", "keys": ["img"]},
    ]
    params = {"input_size": [320, 320], "score_thr": 0.1, "nms_thr": 0.65, "type": "YOLOXPoseAnnotationProcessor"}
    write_json(tmp_path / "pipeline.json", pipeline(transforms, "mmpose", "UNKNOWN", params))
    image = np.zeros((400, 640, 3), np.uint8)
    paint(image, 1, 100, 40, 180, 300, 0.6)
    frontend = build_frontend(file, threads=1)
    assert isinstance(frontend, OnnxPeople) and frontend.card.threshold == 0.5
    np.testing.assert_allclose(frontend(Frame(0, 0.0, image)).boxes, [[99.5, 39.5, 179.5, 299.5]], atol=1e-3)


def test_a_card_comes_first_then_the_word_then_the_folder(tmp_path):
    """The folder says that blue is first, the word that red is."""
    file = simcc_export(tmp_path, network=SimCC(17), transforms=top_down(to_rgb=False))
    found = {}
    for name in (file, f"rtmpose:{file}"):
        found[name] = load_network(name, threads=1).card
    assert (found[file].channels, found[f"rtmpose:{file}"].channels) == ("bgr", "rgb")
    card = {"skeleton": "coco17", "width": 192, "height": 256, "codec": "simcc", "padding": 1.1}
    write_json(tmp_path / "end2end.json", card)
    for name in (file, f"rtmpose:{file}"):
        assert load_network(name, threads=1).card.padding == 1.1


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ("{", r"pipeline\.json: not as MMDeploy writes it \(card: invalid json.*\); export the network again$"),
        ({"pipeline": {}}, r"pipeline\.json: not as MMDeploy writes it \(pipeline\.tasks: field required\)"),
        (
            pipeline([{"type": "Normalize", "mean": [1, 2]}], "mmpose", "", {}),
            r"not as MMDeploy writes it \(pipeline\.tasks\.0\.transforms\.1\.mean",
        ),
        (pipeline([], "mmseg", "ResizeMask", {}), r"pipeline\.json: neither a pose network nor a person detector"),
        (
            pipeline(top_down(), "mmpose", "SimCCLabelDecode", SIMCC_PARAMS | {"export_postprocess": True}),
            r"pipeline\.json: decodes inside the network; export it without export_postprocess$",
        ),
        (
            pipeline(top_down(), "mmpose", HEATMAPS, MSRA_PARAMS | {"type": "MegviiHeatmap", "post_process": "megvii"}),
            r"pipeline\.json: its codec MegviiHeatmap is not known; export a network with SimCC or heatmaps$",
        ),
        (
            pipeline(top_down(), "mmpose", HEATMAPS, UDP_PARAMS | {"heatmap_type": "combined"}),
            r"its codec UDPHeatmap is not known",
        ),
        (
            pipeline(top_down(), "mmpose", "SimCCLabelDecode", SIMCC_PARAMS | {"simcc_split_ratio": 3.0}),
            r"has 384 and 512 classes for 192 x 256 px; the card says 3 per px$",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, content, pattern):
    constant(tmp_path / "end2end.onnx", profiles(17), shape=("batch", 3, 256, 192))
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "pipeline.json").write_text(text)
    with pytest.raises(OccluposeError, match=pattern) as caught:
        load_network(str(tmp_path / "end2end.onnx"))
    assert "\n" not in str(caught.value)
