"""DeepLabCut's CSV and H5 files (DeepLabCut, "Helper & Advanced Optional Function Documentation": a
MultiIndex pandas array with the name of the network, body part, x, y and likelihood; "Multi-animal": individuals), in
the layout of pandas ("IO tools: HDF5 (PyTables)", formats "table" and "fixed").
"""

import pickle
import sys

import numpy as np
import pytest

from foreign_files import FPS, SCORE, SIZE, assert_lifts_as_ours, csv_file, read_quietly, walkers
from occlupose import formats
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17

SCORER = "DLC_resnet50_walkJul1shuffle1_100000"
AXES = ("x", "y", "likelihood")


def table(xy, joints=COCO17.joints, people=("",), scorer=SCORER):
    """Labels of the columns, and numbers (time, column)."""
    labels = [(scorer, *([who] if who else []), joint, axis) for who in people for joint in joints for axis in AXES]
    score = np.full((*xy.shape[:-1], 1), SCORE)
    return labels, np.concatenate([xy, score], -1).reshape(len(xy), -1)


def levels(labels):
    """What the rows of the header are called."""
    return ["scorer", *(["individuals"] if len(labels[0]) == 4 else []), "bodyparts", "coords"]


def csv(path, labels, numbers, index=None):
    header = [[level, *names] for level, names in zip(levels(labels), zip(*labels, strict=True), strict=True)]
    index = [[row] for row in range(len(numbers))] if index is None else index
    if len(index[0]) == 3:
        header = [[row[0], "", "", *row[1:]] for row in header]
    return csv_file(path, [*header, *([*rows, *row] for rows, row in zip(index, numbers.tolist(), strict=True))])


def pandas_table(path, labels, numbers, pickled=None):
    """As `DataFrame.to_hdf(format="table")`."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_("frame_table")
        rows = np.zeros(len(numbers), [("index", "<i8"), ("values_block_0", "<f8", (numbers.shape[1],))])
        rows["index"] = np.arange(len(numbers))
        rows["values_block_0"] = numbers
        dataset = group.create_dataset("table", data=rows)
        dataset.attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(labels, 0) if pickled is None else pickled)
    return path


def pandas_fixed(path, labels, numbers):
    """As `DataFrame.to_hdf(format="fixed")`."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_("frame")
        group.attrs["nblocks"] = 1
        group.attrs["block0_items_nlevels"] = len(labels[0])
        for level, names in enumerate(zip(*labels, strict=True)):
            known = sorted(set(names))
            group[f"block0_items_level{level}"] = np.array(known, "S")
            group[f"block0_items_label{level}"] = np.array([known.index(name) for name in names], np.int8)
        group["block0_values"] = numbers
        group["axis1"] = np.arange(len(numbers))
    return path


def by_pandas(path, labels, numbers):
    """As DeepLabCut saves it."""
    pandas = pytest.importorskip("pandas")
    columns = pandas.MultiIndex.from_tuples(labels, names=levels(labels))
    pandas.DataFrame(numbers, columns=columns).to_csv(path)
    return path


every_file = pytest.mark.parametrize("write", [csv, by_pandas, pandas_table, pandas_fixed])


@every_file
def test_one_individual_lifts_as_ours(tmp_path, write):
    xy = walkers()[:, :1]
    xy[4:9, 0, 9] = np.nan
    read = formats.read(write(tmp_path / "walk.h5", *table(xy[:, 0])), fps=FPS, size=SIZE)
    assert (read.tool, read.poses.skeleton, read.notes) == ("DeepLabCut", COCO17, [])
    assert_lifts_as_ours(read, xy, COCO17, tmp_path)


@every_file
def test_several_individuals_lift_as_ours(tmp_path, write):
    xy = walkers()
    labels, numbers = table(xy, people=("Ann", "Ben"))
    labels += [(SCORER, "single", "ball", axis) for axis in AXES]
    numbers = np.concatenate([numbers, np.full((len(xy), 3), 5.0)], 1)
    path = write(tmp_path / "walk.h5", labels, numbers)
    read = formats.read(path, fps=FPS, size=SIZE)
    assert read.notes == [f"{path}: track ids: 0 Ann, 1 Ben"]
    assert_lifts_as_ours(read, xy, COCO17, tmp_path)


@pytest.mark.parametrize(
    "spell",
    [
        lambda joint: "".join(word.title() for word in joint.split("_")),
        lambda joint: joint.replace("_", " "),
        lambda joint: joint.replace("left_", "l_").replace("right_", "r_"),
        lambda joint: joint.replace("left_", "L").replace("right_", "R"),
        lambda joint: "_".join(joint.split("_")[::-1]),
    ],
    ids=["LeftElbow", "left elbow", "l_elbow", "Lelbow", "elbow_left"],
)
def test_spellings_of_joints(tmp_path, spell):
    labels, numbers = table(walkers()[:, 0], [spell(joint) for joint in COCO17.joints])
    assert read_quietly(csv(tmp_path / "a.csv", labels, numbers)).skeleton == COCO17


def test_other_joints_keep_their_names(tmp_path):
    joints = ["racket", *COCO17.joints[5:]]
    xy = np.concatenate([np.full((30, 1, 2), 9.0), walkers()[:, 0, 5:]], 1)
    poses = read_quietly(csv(tmp_path / "a.csv", *table(xy, joints)), size=SIZE)
    assert poses.skeleton.joints == tuple(joints) and poses.skeleton.name == "deeplabcut"
    assert ("left_hip", "left_knee") in poses.skeleton.limbs
    poses.save(tmp_path / "poses.npz")
    assert type(poses).load(tmp_path / "poses.npz") == poses


def test_annotations_have_paths_of_images_and_no_likelihood(tmp_path):
    labels, numbers = table(walkers()[:4, 0], scorer="me")
    drop = [column for column, label in enumerate(labels) if label[-1] != "likelihood"]
    index = [["labeled-data", "clip7", f"img{number:03d}.png"] for number in (3, 1, 2, 9)]
    path = csv(tmp_path / "a.csv", [labels[column] for column in drop], numbers[:, drop], index)
    poses = read_quietly(path, fps=10)
    assert poses.time.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert poses.state.any((1, 2)).tolist() == [True, True, True, False, False, False, False, False, True]
    assert poses.score.max() == 1
    np.testing.assert_allclose(poses.xy[0, 0], numbers[1].reshape(17, 3)[:, :2], rtol=1e-6)


def test_unlikely_joints_are_occluded(tmp_path):
    labels, numbers = table(walkers()[:, 0])
    numbers[:, 2] = 0.01
    poses = read_quietly(csv(tmp_path / "a.csv", labels, numbers))
    assert (poses.state[:, 0, 0] == 1).all() and (poses.state[:, 0, 1:] == 2).all()


def test_animals_are_refused_with_their_names(tmp_path):
    labels, numbers = table(walkers()[:, 0, :4], ["snout", "nose", "leftear", "tailbase"])
    with pytest.raises(
        OccluposeError, match=r"a.csv: no joint of a person's body in it, only snout, nose, leftear, tailb"
    ):
        formats.read(csv(tmp_path / "a.csv", labels, numbers))
    poses = read_quietly(
        csv(tmp_path / "b.csv", *table(walkers()[:, 0], [f"p{n}" for n in range(17)])), skeleton="coco17"
    )
    assert poses.skeleton == COCO17


class _Bomb:
    def __reduce__(self):
        return (sys.exit, ("executed",))


@pytest.mark.parametrize(
    "pickled",
    [pickle.dumps([_Bomb()], 0), pickle.dumps([_Bomb()], 2), pickle.dumps([("a", "b", np.float64(3))], 0)],
    ids=["code", "code, protocol 2", "an object"],
)
def test_no_pickle_is_carried_out(tmp_path, pickled):
    path = pandas_table(tmp_path / "a.h5", *table(walkers()[:, 0]), pickled=pickled)
    with pytest.raises(
        OccluposeError, match=r"^\S*a.h5: names of columns are pickled objects \(\w+\), which are not read; "
    ):
        formats.read(path)


@pytest.mark.parametrize("pickled", [b"", b"(lp0\n", b"garbage", pickle.dumps([], 0), pickle.dumps(["a"], 0)])
def test_damaged_pickles(tmp_path, pickled):
    path = pandas_table(tmp_path / "a.h5", *table(walkers()[:, 0]), pickled=pickled)
    with pytest.raises(OccluposeError, match=r"^\S*a.h5: [^\n]*; [^\n]*$"):
        formats.read(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_names_in_pickles_of_every_protocol(protocol):
    from occlupose.formats.deeplabcut import read_texts

    labels = table(walkers()[:2], people=("Ann", "Ben"))[0]
    assert read_texts(pickle.dumps(labels, protocol), "a.h5") == labels
    assert read_texts(pickle.dumps(labels[:1], protocol), "a.h5") == labels[:1]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["scorer", "a", "a"], ["bodyparts", "nose", "nose"]], "no rows bodyparts and coords"),
        ([["scorer", "a"], ["bodyparts", "left_hip"], ["coords", "z"], [0, 1.0]], "is in 3D"),
        ([["scorer"], ["bodyparts"], ["coords"]], "columns without scorer"),
        ([["scorer", "a", "a"], ["bodyparts", "left_hip", "left_hip"], ["coords", "x", "y"]], "nobody is in it"),
        ([["scorer", "a", "a"], ["bodyparts", *["left_hip"] * 2], ["coords", "x", "y"], [0, "?", 2]], "'?'"),
    ],
)
def test_what_is_refused(tmp_path, rows, words):
    path = csv_file(tmp_path / "a.csv", rows)
    with pytest.raises(OccluposeError) as raised:
        formats.read(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ") and words in message and "\n" not in message


def test_a_truncated_h5_is_named(tmp_path):
    path = pandas_table(tmp_path / "a.h5", *table(walkers()[:, 0]))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(OccluposeError, match=r"^\S*a.h5: [^\n]*; write the file again"):
        formats.read(path)


def test_another_table_of_pandas(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("x").attrs["pandas_type"] = "series"
    with pytest.raises(OccluposeError, match=r"a.h5: a series of pandas; give a file of DeepLabCut"):
        formats.read(tmp_path / "a.h5")


def test_without_h5py_one_line_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(OccluposeError, match=r"a\.h5: needs h5py; pip install '\.\[hdf5\]' in a clone of occlupose$"):
        formats.read(tmp_path / "a.h5")
