from collections import defaultdict

import numpy as np
import pytest

from mocap_files import standing, write_joints, write_mocap
from occlupose.datasets.formats import cmu
from occlupose.datasets.formats.mocap_clips import (
    COLUMNS,
    EXPMAP,
    KINDS,
    count_seconds,
    load_labelled_clips,
    load_labelled_pairs,
    read_labels,
)
from occlupose.datasets.formats.mocap_joints import CMU, PARTNERS, TRUNKS, find_subject
from occlupose.errors import OccluposeError


def write_all(folder):
    """A folder of motion capture with clips that the table has: of each source one, of CMU's joints a pair."""
    write_mocap(folder, {"02": 1, "07": 1}, frames=130)
    more = folder / "more"
    for pair in ("01", "12"):
        assert {("more/cmu_60fps.npz", f"{subject}_{pair}") for subject in PARTNERS} <= set(read_labels())
    dances = {f"{subject}_{pair}": standing(65, neck=0.07) for subject in PARTNERS for pair in ("01", "12")}
    write_joints(more / f"{CMU}.npz", **dances)
    write_joints(more / "accad_30fps.npz", fps=30, Male2_A9_Lie=standing(30), Female1_D2_Wait=standing(60))
    write_joints(more / "uiprmd_50fps.npz", fps=50, m05_s09_e01=standing(50), m01_s01_e01=standing(25))
    write_joints(more / "opencap_100fps.npz", fps=100, Subject4_STS1=standing(100))
    return folder


def test_every_clip_has_a_known_kind_and_one_subject():
    labels = read_labels()
    assert {label.kind for label in labels.values()} == set(KINDS)
    assert all(label.subject for label in labels.values())
    for (file_name, clip), label in labels.items():
        folder, name = file_name.split("/", 1)
        if folder == "cmu":
            assert file_name == f"cmu/{label.subject}/{clip}.amc"
            assert clip.split("_")[0] == label.subject
        elif folder == "more":
            assert name.removesuffix(".npz") in (CMU, *TRUNKS)
            assert label.subject == find_subject(name.removesuffix(".npz"), clip)
        else:
            assert file_name == EXPMAP


def test_no_subject_is_in_both_splits_but_those_who_dance_together():
    splits = defaultdict(set)
    for label in read_labels().values():
        splits[label.subject].add(label.held_out)
    assert {subject for subject, both in splits.items() if len(both) > 1} == set(PARTNERS)
    held_out = {subject for subject, split in splits.items() if split == {True}}
    assert held_out == {*cmu.VALIDATION_SUBJECTS, "86", "135", "Male2", "s09", "s10", "Subject4"}


def test_of_those_who_dance_together_the_same_trials_are_held_out():
    trials = defaultdict(set)
    for (_, clip), label in read_labels().items():
        if label.subject in PARTNERS:
            trials[label.held_out].add(clip)
    for held_out, clips in trials.items():
        assert {clip.split("_")[1] for clip in clips if clip.startswith("60")} == {
            clip.split("_")[1] for clip in clips if clip.startswith("61")
        }
        assert all((clip[3:] in ("12", "13", "14", "15")) == held_out for clip in clips)


def test_every_kind_is_validated_and_sitting_and_lying_by_each_source():
    labels = read_labels()
    assert {label.kind for label in labels.values() if label.held_out} == set(KINDS)
    sitting = {name for (name, _), label in labels.items() if label.held_out and label.kind == "sitting and lying"}
    assert sitting == {f"more/{stem}.npz" for stem in (CMU, *TRUNKS)}


def test_copies_of_validation_motions_are_held_out_with_their_subject():
    labels = read_labels()
    for name in cmu.VALIDATION_COPIES:
        label = labels[EXPMAP, name]
        assert label.held_out
        assert label.subject in cmu.VALIDATION_SUBJECTS
    others = {name for (file_name, name), label in labels.items() if file_name == EXPMAP and label.held_out}
    assert others == set(cmu.VALIDATION_COPIES)


def test_all_motion_capture_is_loaded_with_kind_and_split(tmp_path):
    loaded = load_labelled_clips(write_all(tmp_path))
    assert [(item.clip.name, item.clip.subject, item.kind, item.held_out) for item in loaded] == [
        ("02_01", "02", "walking", True),
        ("07_01", "07", "walking", False),
        ("60_01", "60", "dance", False),
        ("60_12", "60", "dance", True),
        ("61_01", "61", "dance", False),
        ("61_12", "61", "dance", True),
        ("Male2_A9_Lie", "Male2", "sitting and lying", True),
        ("Female1_D2_Wait", "Female1", "everyday", False),
        ("m05_s09_e01", "s09", "sitting and lying", True),
        ("m01_s01_e01", "s01", "exercise", False),
        ("Subject4_STS1", "Subject4", "sitting and lying", True),
    ]
    assert all(np.isfinite(item.clip.joints).all() for item in loaded[:2])
    seconds = count_seconds(loaded)
    assert list(seconds) == [(kind, held_out) for kind in KINDS for held_out in (False, True)]
    assert seconds["sitting and lying", True] == pytest.approx(3)
    assert seconds["dance", True] == pytest.approx(2)
    assert seconds["exercise", False] == pytest.approx(0.5)
    assert seconds["fight", False] == 0


def test_pieces_have_the_label_of_their_clip_and_copies_are_left_out(tmp_path):
    write_all(tmp_path)
    jumping = standing(200)
    jumping[100:] += 400
    write_joints(tmp_path / "more" / "opencap_100fps.npz", fps=100, Subject4_STS1=jumping)
    names = sorted({*cmu.BODY22_FROM_CLIPS.values()})
    copy = np.random.default_rng(0).normal(0, 1, (1, len(names), 3)).repeat(60, 0)
    (tmp_path / "cmu_expmap").mkdir()
    np.savez(tmp_path / EXPMAP, joint_names=names, fps=60, **{cmu.VALIDATION_COPIES[0]: copy, "soccer__soccer_1": copy})
    loaded = load_labelled_clips(tmp_path)
    assert [(item.clip.name, item.kind) for item in loaded if item.clip.subject in ("clips", "Subject4")] == [
        ("soccer__soccer_1", "sports"),
        ("Subject4_STS1.0", "sitting and lying"),
        ("Subject4_STS1.1", "sitting and lying"),
    ]


def test_pairs_are_loaded_with_kind_and_split(tmp_path):
    pairs = load_labelled_pairs(write_all(tmp_path))
    assert [(one.clip.name, other.clip.name, one.held_out, other.held_out) for one, other in pairs] == [
        ("60_01", "61_01", False, False),
        ("60_12", "61_12", True, True),
    ]
    assert all(one.kind == other.kind == "dance" for one, other in pairs)


def test_a_clip_without_a_row_is_refused(tmp_path):
    write_all(tmp_path)
    write_joints(tmp_path / "more" / "accad_30fps.npz", fps=30, Male3_A1_Stand=standing(40))
    with pytest.raises(OccluposeError, match=r"accad_30fps\.npz: clip Male3_A1_Stand is not in mocap_clips\.csv; add"):
        load_labelled_clips(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    write_all(tmp_path)
    (tmp_path / "more" / "uiprmd_50fps.npz").unlink()
    with pytest.raises(OccluposeError, match=r"uiprmd_50fps\.npz: no such file"):
        load_labelled_clips(tmp_path)
    with pytest.raises(OccluposeError, match=r"no cmu/NN/NN_MM\.amc in it"):
        load_labelled_clips(tmp_path / "more")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "line 1 has other columns; file,clip,subject,kind,held_out is expected"),
        (["file,clip,subject"], "line 1 has other columns"),
        ([",".join(COLUMNS), "a.npz,one,01,swimming,0"], "line 2 is no file, clip, subject, kind"),
        ([",".join(COLUMNS), "a.npz,one,01,dance,yes"], "line 2 is no file"),
        ([",".join(COLUMNS), "a.npz,one,01,dance,0", "a.npz,two,01,dance"], "line 3 is no file"),
        ([",".join(COLUMNS), *2 * ["a.npz,one,01,dance,0"]], "line 3 has one of a.npz once more; keep one"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, lines, words):
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines))
    with pytest.raises(OccluposeError) as refusal:
        read_labels(table)
    assert str(refusal.value).startswith(f"{table}: ")
    assert words in str(refusal.value)


def test_a_table_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(OccluposeError, match=r"table\.csv: cannot be read .*; install occlupose again"):
        read_labels(tmp_path / "table.csv")
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00 music")
    with pytest.raises(OccluposeError, match=r"table\.csv: cannot be read"):
        read_labels(tmp_path / "table.csv")
