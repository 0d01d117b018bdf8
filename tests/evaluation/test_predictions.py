import numpy as np
import pytest

from mupots_files import nobody
from occlupose.datasets.formats import h36m
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.evaluation.predictions import ImagePredictions, SequencePredictions
from occlupose.skeletons import H36M17, MPI15
from pose_dataset_files import walking, write_h36m

GENERATOR = np.random.default_rng(0)


def refused(match, call, *arguments):
    with pytest.raises(OccluposeError, match=match) as refusal:
        call(*arguments)
    assert "\n" not in str(refusal.value) and "; " in str(refusal.value)


def content(people=2, skeleton="mpi15", joints=15):
    """What a file of predictions of two images holds: everybody is in the first."""
    return {
        "picture": np.array(["a.jpg", "b.jpg"]),
        "people": np.array([people, 0]),
        "skeleton": np.array(skeleton),
        "unit": np.array("m"),
        "xyz": GENERATOR.normal(0, 1, (people, joints, 3)),
        "xy": GENERATOR.uniform(0, 99, (people, joints, 2)),
        "score": GENERATOR.random((people, joints)),
        "state": np.full((people, joints), 2),
    }


# ------------------------------------------------------------------------------- images


def test_what_is_saved_is_what_is_loaded(tmp_path):
    xy = GENERATOR.uniform(0, 99, (3, 15, 2))
    xyz = GENERATOR.normal(0, 2, (3, 15, 3))
    xy[0, 2] = xyz[0, 2] = np.nan
    state = np.where(np.isnan(xy[..., 0]), 0, 1).astype(np.uint8)
    people = Detections(skeleton=MPI15, xy=xy, xyz=xyz, score=GENERATOR.random((3, 15)), state=state)
    none = people.select([])
    ImagePredictions(MPI15, {"a": none, "b": people, "c": none}).save(tmp_path / "p.npz")
    back = ImagePredictions.load(tmp_path / "p.npz", nobody("c", "b"))
    assert list(back.by_sample) == ["c", "b"] and len(back.by_sample["c"]) == 0 and back.skeleton == MPI15
    for name in ("xy", "xyz", "score", "state"):
        np.testing.assert_allclose(getattr(back.by_sample["b"], name), getattr(people, name), rtol=1e-6)
    ImagePredictions(MPI15, {}).save(tmp_path / "none.npz")
    assert ImagePredictions.load(tmp_path / "none.npz", []).by_sample == {}
    refused("could not be written", ImagePredictions(MPI15, {}).save, tmp_path / "p.npz" / "q.npz")


def test_millimetres_and_optional_arrays(tmp_path):
    predictions = content()
    del predictions["score"], predictions["state"]
    predictions["xy"][0, 3] = np.nan
    np.savez(tmp_path / "p.npz", **predictions | {"unit": np.array("mm")})
    one = ImagePredictions.load(tmp_path / "p.npz", nobody("a.jpg")).by_sample["a.jpg"]
    np.testing.assert_allclose(one.xyz, predictions["xyz"] / 1000)
    assert (one.score == 1).all() and one.state[0, 3] == 0 and (one.state == 2).sum() == 29


@pytest.mark.parametrize("name", ["picture", "people", "xyz", "xy", "skeleton", "unit"])
def test_files_that_lack_an_array(tmp_path, name):
    np.savez(tmp_path / "p.npz", **{key: value for key, value in content().items() if key != name})
    refused(f"p.npz: no {name} in it[,;] ", ImagePredictions.load, tmp_path / "p.npz", nobody("a.jpg"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"picture": np.array(["a.jpg"])}, "picture and people must be as many names and whole numbers"),
        ({"picture": np.array([1, 2])}, "picture and people must be"),
        ({"people": np.array([2.0, 0])}, "picture and people must be"),
        ({"people": np.array([3, -1])}, "picture and people must be"),
        ({"picture": np.array(["a.jpg", "a.jpg"])}, "a.jpg is in it twice"),
        ({"people": np.array([2, 1])}, r"xy has shape \(2, 15, 2\) .* \(3, 15, 2\)"),
        ({"unit": np.array("cm")}, "unit cm; it must be m or mm"),
        ({"skeleton": np.array("horse")}, "horse: not a known skeleton"),
        ({"skeleton": np.array("mupots17")}, r"xy has shape \(2, 15, 2\) .* \(2, 17, 2\)"),
        ({"xyz": np.zeros((2, 15, 2))}, r"xyz has shape \(2, 15, 2\)"),
        ({"xyz": np.full((2, 15, 3), np.inf)}, "xyz has infinite numbers"),
        ({"xyz": np.full((2, 15, 3), "a")}, "xyz has shape"),
        ({"score": np.full((2, 15), np.nan)}, "score has numbers that are not finite"),
        ({"score": np.ones(2)}, r"score has shape \(2,\)"),
        ({"state": np.full((2, 15), 3)}, "state must be 2"),
        ({"state": np.full((2, 15), 0.5)}, "state must be 2"),
    ],
)
def test_files_that_contradict_themselves(tmp_path, change, words):
    np.savez(tmp_path / "p.npz", **content() | change)
    refused(f"p.npz: {words}", ImagePredictions.load, tmp_path / "p.npz", nobody("a.jpg"))


def test_files_that_are_none(tmp_path):
    file = tmp_path / "p.npz"
    refused("p.npz: cannot be read", ImagePredictions.load, file, [])
    np.savez(file, **content())
    whole = file.read_bytes()
    for damaged in (b"", whole[:200], b"{}"):
        file.write_bytes(damaged)
        refused("p.npz: not a complete .npz", ImagePredictions.load, file, [])
    np.savez(file, **content() | {"xy": np.array([{}], object)})
    refused("p.npz: not a complete .npz of plain arrays", ImagePredictions.load, file, [])


def test_files_that_lack_an_image(tmp_path):
    np.savez(tmp_path / "p.npz", **content())
    refused(r"lacks 2 of 3 images, first c", ImagePredictions.load, tmp_path / "p.npz", nobody("c", "a.jpg", "d"))


# ------------------------------------------------------------------------------- sequences


@pytest.fixture(scope="module")
def human36m(tmp_path_factory):
    motions = {"S9": {"Walking 1": walking(12, 1), "Eating": walking(10, 3)}, "S11": {"Eating 1": walking(10, 4)}}
    return write_h36m(tmp_path_factory.mktemp("h36m"), motions)


def test_predictions_come_back_as_they_were(human36m, tmp_path):
    sequences = h36m.load_sequences(human36m)
    some = SequencePredictions(
        H36M17,
        {sequence.name: np.random.default_rng(0).normal(size=(len(sequence.poses), 17, 3)) for sequence in sequences},
    )
    some.save(tmp_path / "new" / "p.npz")
    back = SequencePredictions.load(tmp_path / "new" / "p.npz", sequences)
    assert back.skeleton == H36M17 and back.by_sample.keys() == some.by_sample.keys()
    assert all(np.array_equal(back.by_sample[name], some.by_sample[name]) for name in some.by_sample)
    assert SequencePredictions.load(tmp_path / "new" / "p.npz", sequences[:2]).by_sample.keys() == {
        sequence.name for sequence in sequences[:2]
    }
    (tmp_path / "file").touch()
    with pytest.raises(OccluposeError, match="could not be written"):
        some.save(tmp_path / "file" / "p.npz")


def test_files_of_predictions_that_do_not_fit_are_refused(human36m, tmp_path):
    sequences = h36m.load_sequences(human36m, ("S11",))
    path = tmp_path / "p.npz"
    good = {sequence.name: sequence.poses.xyz[:, 0] for sequence in sequences}
    first = sequences[0].name
    cases = [
        (
            {"skeleton": "h36m17"} | dict(list(good.items())[1:]),
            f"lacks 1 of 4 sequences, first {first}; predict every sequence",
        ),
        ({"skeleton": "h36m17"}, f"lacks 4 of 4 sequences, first {first}; give predictions of this dataset"),
        (good, "no skeleton in it; "),
        ({"skeleton": "h36m"} | good, "h36m: not a known skeleton; known are coco17, h36m17"),
        (
            {"skeleton": "h36m17"} | good | {first: good[first][:-1]},
            rf"{first}: shape \(9, 17, 3\); it must be \(10, 17, 3\)",
        ),
        ({"skeleton": "coco17"} | good | {first: good[first][:, :15]}, rf"{first}: shape \(10, 15, 3\); .*coco17"),
        (
            {"skeleton": "humaneva15"} | good,
            rf"{first}: shape \(10, 17, 3\); it must be \(10, 15, 3\) for .* humaneva15",
        ),
        ({"skeleton": "h36m17"} | good | {first: np.full((10, 17, 3), "a")}, rf"{first}: shape"),
        ({"skeleton": "h36m17"} | good | {first: np.full((10, 17, 3), np.inf)}, f"{first}: infinite positions; "),
        ({"skeleton": "h36m17"} | good | {first: np.array([{}])}, "not a complete .npz of plain arrays"),
    ]
    for content, message in cases:
        np.savez(path, **content)
        with pytest.raises(OccluposeError, match=message) as refusal:
            SequencePredictions.load(path, sequences)
        assert str(refusal.value).startswith(f"{path}: ") and "\n" not in str(refusal.value)
    np.savez_compressed(path, skeleton="h36m17", **good)
    whole = path.read_bytes()
    np.save(tmp_path / "a.npy", np.zeros(3))
    for damaged in (
        b"",
        b"hello",
        whole[:200],
        whole[:-30],
        whole[:300] + bytes(300) + whole[600:],
        (tmp_path / "a.npy").read_bytes(),
    ):
        path.write_bytes(damaged)
        with pytest.raises(OccluposeError, match=r"p\.npz: "):
            SequencePredictions.load(path, sequences)
    with pytest.raises(
        OccluposeError, match=r"b\.npz: cannot be read \(no such file or directory\); give an \.npz of predictions"
    ):
        SequencePredictions.load(tmp_path / "b.npz", sequences)
