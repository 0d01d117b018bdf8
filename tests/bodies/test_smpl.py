import io
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from scipy.sparse import csc_matrix

from body_models import FACE, place, random_bodies, random_rotations, smpl_arrays
from occlupose import cli
from occlupose.bodies.body import PARTS, SEGMENTS
from occlupose.bodies.smpl import BETAS, JOINTS, KEYS, VERTICES, convert_smpl, smpl
from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY26


@pytest.fixture(scope="module")
def arrays():
    return smpl_arrays()


@pytest.fixture(scope="module")
def body(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("smpl") / "smpl.npz"
    np.savez(path, **arrays)
    return smpl(path)


def test_its_shape_is_ten_betas(body):
    assert body.shape_names == tuple(f"beta{number}" for number in range(10))
    assert body.neutral.tolist() == [0.0] * 10 and body.low.tolist() == [-3.0] * 10 and body.high.tolist() == [3.0] * 10


def test_it_is_the_model_of_the_paper(arrays, body):
    """Equations 2 to 10 of SMPL with matrices for the local rotations, written independently."""
    pose, beta, translation = random_bodies(body, 4, most=0.5)
    random = [random_rotations(place, most=0.8).double().numpy() for place in range(4)]
    chain = {
        "pelvis": random[0],
        "left_hip": random[1],
        "left_knee": random[2],
        "left_elbow": random[3],
    }  # of their parents, others straight
    world = {}
    bone_turn = np.zeros((len(JOINTS), 3, 3))
    for bone, joint in enumerate(JOINTS):
        parent = int(arrays["kintree_table"][0, bone].astype(np.int32))
        local = chain.get(joint, np.eye(3))
        world[joint] = local if parent < 0 else bone_turn[parent] @ local
        bone_turn[bone] = world[joint]
    segments = {"pelvis": "pelvis", "chest": "spine3", "head": "head"}
    limbs = {
        "clavicle": "collar",
        "upper_arm": "shoulder",
        "forearm": "elbow",
        "hand": "wrist",
        "thigh": "hip",
        "shank": "knee",
        "foot": "ankle",
    }
    segments |= {
        f"{side}_{segment}": f"{side}_{joint}" for side in ("left", "right") for segment, joint in limbs.items()
    }
    pose = torch.from_numpy(np.stack([world[segments[segment]] for segment in SEGMENTS])).float()[None]

    rest = arrays["v_template"] + arrays["shapedirs"] @ beta[0].numpy()
    heads = arrays["J_regressor"] @ rest
    local = np.stack([chain.get(joint, np.eye(3)) for joint in JOINTS[1:]])
    bent = rest + arrays["posedirs"] @ (local - np.eye(3)).flatten()
    place = np.zeros((len(JOINTS), 3))
    place[0] = translation[0].numpy()
    for bone in range(1, len(JOINTS)):
        parent = int(arrays["kintree_table"][0, bone])
        place[bone] = place[parent] + bone_turn[parent] @ (heads[bone] - heads[parent])
    expected = np.zeros_like(rest)
    for bone in range(len(JOINTS)):
        expected += arrays["weights"][:, [bone]] * ((bent - heads[bone]) @ bone_turn[bone].T + place[bone])
    result = body(pose, beta, translation)
    np.testing.assert_allclose(result.vertices[0], expected, atol=5e-6)
    own = {
        "left_knee": "left_knee",
        "right_wrist": "right_wrist",
        "thorax": "neck",
        "neck_nose": "head",
        "left_foot": "left_foot",
    }
    for joint, theirs in own.items():
        np.testing.assert_allclose(result.joints[0, BODY26.index(joint)[0]], place[JOINTS.index(theirs)], atol=5e-6)


def test_joints_at_rest_are_where_the_file_has_them(body):
    joints = dict(zip(BODY26.joints, body.rest(body.neutral[None])[0] + body.heads[0], strict=True))
    vertices = {"nose": 332, "right_eye": 6260, "left_eye": 2800, "right_ear": 4071, "left_ear": 583, "head_top": 411}
    for joint, vertex in vertices.items():
        np.testing.assert_allclose(joints[joint], FACE[vertex], atol=1e-5)
    for joint in ("left_elbow", "right_hand", "left_foot", "right_hip"):
        np.testing.assert_allclose(joints[joint], place(joint), atol=0.01)
    np.testing.assert_allclose(joints["pelvis"], (joints["left_hip"] + joints["right_hip"]) / 2, atol=1e-6)


def test_parts_are_what_the_weights_follow(arrays, body):
    followed = arrays["weights"].argmax(1)
    for vertex, bone in enumerate(followed.tolist()):
        part = PARTS[body.part[vertex]]
        joint = JOINTS[bone]
        if joint in ("left_knee", "right_elbow"):
            assert part == {"left_knee": "left_shank", "right_elbow": "right_forearm"}[joint]
        if joint in ("spine2", "pelvis", "left_collar"):
            assert part == ("left_trunk" if arrays["v_template"][vertex, 0] >= 0 else "right_trunk")
        if joint == "neck":
            assert part.endswith("neck")
    assert PARTS[body.part[332]].endswith("face") and PARTS[body.part[411]].endswith(("face", "skull"))


def test_of_more_betas_the_first_are_taken(arrays, body, tmp_path):
    more = np.concatenate([arrays["shapedirs"], np.ones((VERTICES, 3, 290))], 2)
    np.savez(tmp_path / "more.npz", **(arrays | {"shapedirs": more}))
    assert torch.equal(smpl(tmp_path / "more.npz").directions, body.directions)
    assert len(body.directions) == BETAS


REFUSED = {
    "has no posedirs, f": lambda arrays: {
        name: value for name, value in arrays.items() if name not in ("posedirs", "f")
    },
    "SMPL-X, not SMPL: its v_template is 10475 x 3": lambda arrays: arrays | {"v_template": np.zeros((10475, 3))},
    "MANO, not SMPL: its v_template is 778 x 3": lambda arrays: arrays | {"v_template": np.zeros((778, 3))},
    "not SMPL: its weights is 6890 x 52 and SMPL's 6890 x 24": lambda arrays: (
        arrays | {"weights": np.zeros((VERTICES, 52))}
    ),
    "its joints have other parents": lambda arrays: arrays | {"kintree_table": arrays["kintree_table"][:, ::-1]},
    "its v_template is not all numbers": lambda arrays: arrays | {"v_template": np.full((VERTICES, 3), np.nan)},
    "its weights is not all numbers": lambda arrays: arrays | {"weights": arrays["weights"].astype(str)},
    "its faces refer to missing vertices": lambda arrays: arrays | {"f": arrays["f"] + VERTICES},
    "fewer than 10 betas": lambda arrays: arrays | {"shapedirs": arrays["shapedirs"][..., :4]},
    "not readable as a .npz of SMPL": lambda arrays: arrays | {"f": np.array([{"a": 1}], object)},
}


@pytest.mark.parametrize("words", REFUSED)
def test_files_that_are_not_smpls(arrays, tmp_path, words):
    path = tmp_path / "smpl.npz"
    np.savez(path, **REFUSED[words](arrays))
    with pytest.raises(OccluposeError) as refusal:
        smpl(path)
    line = str(refusal.value)
    assert line.startswith(f"{path}: ") and words in line and "occlupose convert smpl" in line and "\n" not in line


@pytest.mark.parametrize("content", [b"", b"SMPL", b"PK\x03\x04 cut", pickle.dumps({"a": 1})])
def test_files_that_are_no_arrays_at_all(tmp_path, content):
    path = tmp_path / "smpl.npz"
    path.write_bytes(content)
    with pytest.raises(OccluposeError, match=rf"^{path}: not readable as a \.npz of SMPL; "):
        smpl(path)
    with pytest.raises(OccluposeError, match=r"none\.npz: no such file; "):
        smpl(tmp_path / "none.npz")


class Ch:
    """An array as chumpy has it."""

    def __init__(self, x):
        self.x = x
        self._dirty_vars = set()
        self._itr = None


def official(arrays, protocol=2):
    """The bytes of a .pkl as SMPL's makers give it, with chumpy's arrays and scipy's matrix."""
    module = types.ModuleType("chumpy.ch")
    module.Ch = Ch
    before = (Ch.__module__, Ch.__qualname__)
    Ch.__module__ = "chumpy.ch"
    sys.modules.update({"chumpy": types.ModuleType("chumpy"), "chumpy.ch": module})
    try:
        wrapped = {
            "v_template": Ch(arrays["v_template"]),
            "shapedirs": Ch(arrays["shapedirs"]),
            "J_regressor": csc_matrix(arrays["J_regressor"]),
        }
        return pickle.dumps(arrays | wrapped | {"bs_style": "lbs", "bs_type": "lrotmin"}, protocol)
    finally:
        Ch.__module__, Ch.__qualname__ = before
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_the_official_pickle_becomes_arrays(arrays, body, tmp_path, protocol):
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(official(arrays, protocol))
    convert_smpl(tmp_path / "SMPL_NEUTRAL.pkl", tmp_path / "smpl.npz")
    with np.load(tmp_path / "smpl.npz") as file:
        assert set(file) == set(KEYS)
        np.testing.assert_allclose(file["J_regressor"], arrays["J_regressor"], atol=1e-7)
    pose, shape, translation = random_bodies(body, 2)
    again = smpl(tmp_path / "smpl.npz")
    assert torch.equal(again(pose, shape, translation).vertices, body(pose, shape, translation).vertices)
    assert torch.equal(again.part, body.part)


class Evil:
    """Pickled as a call of something."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("evil", "asks"),
    [
        (Evil(exec, "import pathlib; pathlib.Path('gone').touch()"), r"(__builtin__|builtins)\.exec"),
        (Evil(getattr, "text", "upper"), r"(__builtin__|builtins)\.getattr"),
        (Evil(io.open, "gone", "w"), r"\w+\.open"),
        (Evil(np.load, "gone"), r"numpy\.load"),
        (types.SimpleNamespace(), r"types\.SimpleNamespace"),
    ],
    ids=["exec", "getattr", "open", "numpy", "class"],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_pickles_that_ask_for_anything_else(arrays, tmp_path, monkeypatch, evil, asks, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "smpl.pkl"
    path.write_bytes(pickle.dumps(arrays | {"f": evil}, protocol))
    reason = rf"not a pickle of SMPL \(names {asks}, which may run code and was not touched\)"
    with pytest.raises(OccluposeError, match=rf"^{path}: {reason}; give the \.pkl of SMPL"):
        convert_smpl(path, tmp_path / "smpl.npz")
    assert list(tmp_path.iterdir()) == [path]


def broken_matrix(arrays):
    matrix = csc_matrix(arrays["J_regressor"])
    matrix.indices = matrix.indices + 1000  # rows that there are none of
    return matrix


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda arrays: b"text", "not a pickle of SMPL"),
        (lambda arrays: b"", "(it is empty or was cut off)"),
        (lambda arrays: official(arrays)[:100_000], "not a pickle of SMPL"),
        (lambda arrays: pickle.dumps([1, 2]), "it holds no table"),
        (lambda arrays: pickle.dumps({"v_template": np.zeros((10475, 3))}), "not SMPL: it has no shapedirs"),
        (lambda arrays: pickle.dumps(arrays | {"f": "faces"}), "str where there should be numbers"),
        (
            lambda arrays: pickle.dumps(arrays | {"f": np.array([[1, "a"]], object)}),
            "array of objects where there should be numbers",
        ),
        (lambda arrays: pickle.dumps(arrays | {"J_regressor": broken_matrix(arrays)}), "not a pickle of SMPL"),
    ],
    ids=["text", "empty", "cut", "list", "keys", "word", "objects", "matrix"],
)
def test_pickles_that_are_not_smpls(arrays, tmp_path, content, words):
    path = tmp_path / "smpl.pkl"
    path.write_bytes(content(arrays))
    with pytest.raises(OccluposeError) as refusal:
        convert_smpl(path, tmp_path / "smpl.npz")
    assert str(refusal.value).startswith(f"{path}: ") and words in str(refusal.value) and "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == [path]


def test_the_command(arrays, tmp_path, monkeypatch, capsys):
    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["occlupose", "convert", "smpl", *map(str, arguments)])
        cli.main()

    (tmp_path / "SMPL.pkl").write_bytes(official(arrays))
    command(tmp_path / "SMPL.pkl", "-o", tmp_path / "smpl.npz")
    assert capsys.readouterr() == (f"{tmp_path / 'smpl.npz'}: SMPL written\n", "")
    assert smpl(tmp_path / "smpl.npz").name == "smpl"
    for arguments, words in (
        ((tmp_path / "none.pkl", "-o", tmp_path / "a.npz"), "none.pkl: no such file; "),
        ((tmp_path / "SMPL.pkl", "-o", tmp_path / "a.txt"), "a.txt: not a name for SMPL's arrays; end it with .npz"),
    ):
        with pytest.raises(SystemExit) as end:
            command(*arguments)
        out, err = capsys.readouterr()
        assert (
            end.value.code == 2
            and out == ""
            and err.startswith("occlupose: ")
            and words in err
            and err.count("\n") == 1
        )
