from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from torch import nn

from hupor_samples import DESIGN, SHORT
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.network import HUPORNetwork
from occlupose.methods.hupor.refine import RefineRecipe
from occlupose.methods.hupor.weights import FORMAT, TrainedHUPOR, load, load_initial_weights, save
from occlupose.methods.lifter.network import DEFAULT
from occlupose.networks.mspn import StageSize


def networks(design=DESIGN, seed=0):
    """Untrained, with statistics that are not those of the beginning."""
    torch.manual_seed(seed)
    made = HUPORNetwork(design)
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return made.eval()


def saved(trained, folder, name="hupor.safetensors"):
    trained = trained if isinstance(trained, TrainedHUPOR) else TrainedHUPOR(trained)
    save(trained, folder / name)
    return folder / name


def contents(path):
    with safe_open(path, "pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def answers(made):
    images = torch.randint(256, (1, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = made.detect(images)
        visible = made.visible_maps(found)
        return found[-1][0]["depths"], visible.heatmaps, visible.fields, made.hidden_maps(visible).heatmaps


@pytest.mark.parametrize(
    "design",
    [
        DESIGN,
        replace(DESIGN, reasoning="hourglass", reasoner_stages=2),
        replace(DESIGN, reasoning="none", stages=1, width=96),
        replace(SHORT, reasoner_size=None, detach=True),
    ],
)
def test_saved_networks_give_the_same_output(tmp_path, design):
    """But for what half precision takes from its kernels; ready to use, in full precision."""
    made = networks(design)
    again = load(saved(made, tmp_path))
    assert again.networks.design == design and again.refiner is None and again.refiner_recipe is None
    assert not any(part.training for part in again.networks.modules())
    assert all(value.dtype in (torch.float32, torch.int64) for value in again.networks.state_dict().values())
    for one, other in zip(answers(made), answers(again.networks), strict=True):
        assert (one - other).abs().max() < 0.02 * max(one.abs().max(), 1e-3)
    before = made.state_dict()
    for name, value in again.networks.state_dict().items():
        assert torch.equal(value, before[name].half().float() if value.ndim > 1 else before[name]), name


def test_teachers_stay_behind_and_kernels_are_of_half_precision(tmp_path):
    made = networks()
    header, tensors = contents(saved(made, tmp_path))
    assert header["format"] == FORMAT and header["refiner"] == "none"
    assert {name: header[name] for name in DESIGN.to_header()} == DESIGN.to_header()
    assert tensors.keys() == {
        f"networks.{name}" for name in made.state_dict() if not name.startswith("reasoner.teachers.")
    }
    assert any(name.startswith("reasoner.teachers.") for name in made.state_dict())
    assert all(value.dtype == (torch.float16 if value.ndim > 1 else value.dtype) for value in tensors.values())
    assert tensors["networks.detector.stem.0.1.running_var"].dtype == torch.float32


def test_the_same_weights_give_the_same_bytes_also_after_a_round(tmp_path):
    one = saved(networks(), tmp_path, "one.safetensors")
    other = saved(networks(), tmp_path, "other.safetensors")
    assert one.read_bytes() == other.read_bytes()
    assert saved(load(one), tmp_path, "again.safetensors").read_bytes() == one.read_bytes()


@pytest.mark.parametrize(
    "recipe", [RefineRecipe("gcn", width=8, depth=1), RefineRecipe("mlp"), RefineRecipe("mlp", published=True)]
)
def test_a_refiner_is_kept_with_the_networks(tmp_path, recipe):
    torch.manual_seed(0)
    refiner = recipe.build().eval()
    for parameter in refiner.parameters():
        nn.init.normal_(parameter, std=0.1)
    path = saved(TrainedHUPOR(networks(SHORT), refiner, recipe), tmp_path)
    again = load(path)
    given = torch.randn(5, 15, 5)
    with torch.no_grad():
        torch.testing.assert_close(again.refiner(given), refiner(given), atol=1e-2, rtol=1e-2)
    assert (again.refiner_recipe.kind, again.refiner_recipe.published) == (recipe.kind, recipe.published)
    assert (again.refiner_recipe.width, again.refiner_recipe.depth) == (recipe.width, recipe.depth)
    assert not again.refiner.training
    assert saved(again, tmp_path, "again.safetensors").read_bytes() == path.read_bytes()


def test_other_files_are_refused(tmp_path):
    (text := tmp_path / "text.safetensors").write_text("hello")
    for path, reason in (
        (tmp_path / "none.safetensors", "no such file"),
        (text, "not readable"),
        (DEFAULT, "not the weights of HUPOR"),
    ):
        with pytest.raises(
            OccluposeError, match=rf"{path.name}: {reason}.*; give a file that `occlupose train hupor` wrote"
        ):
            load(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": "wide"},
        {"stages": "3"},
        {"size": "published"},
        {"refiner": "magic"},
        {"refiner": "gcn"},
        {"reasoning": None},
    ],
)
def test_headers_that_lie_are_refused(tmp_path, wrong):
    from occlupose.networks import weights as files

    header, tensors = contents(saved(networks(SHORT), tmp_path))
    header = {name: value for name, value in (header | wrong).items() if value is not None}
    files.save(tensors, header, path := tmp_path / "wrong.safetensors")
    with pytest.raises(
        OccluposeError,
        match=r"wrong\.safetensors: (not readable as weights of|tensors do not match) HUPOR.*; give a file",
    ):
        load(path)


# -------------------------------------------------------------------------------- beginning with a file


def taken(ours, path):
    """Which tensors are those of the file afterwards, and the description."""
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    summary = load_initial_weights(ours, path)
    theirs = load(path).networks.state_dict()
    after = ours.state_dict()
    same = {name for name, value in after.items() if name in theirs and torch.equal(value, theirs[name])}
    assert all(torch.equal(value, before[name]) for name, value in after.items() if name not in theirs)
    return same, summary


def parts(network, *names):
    return {name for name in network.state_dict() if name.startswith(tuple(f"{part}." for part in names))}


def test_initial_weights_of_detector_and_reasoner(tmp_path):
    """All except the teachers, which are not in the file."""
    ours = networks(seed=1)
    same, summary = taken(ours, saved(networks(), tmp_path))
    assert same == parts(ours, "detector", "reasoner.students", "reasoner.decoders")
    assert summary == f"{len(same)} of {len(ours.state_dict())} tensors of hupor.safetensors"


def kernels(network, part):
    """Its kernels: tensors that differ between networks that begin with other seeds."""
    return {name for name, value in network.state_dict().items() if name.startswith(f"{part}.") and value.ndim > 1}


def test_initial_weights_of_a_detector_for_a_training_with_a_reasoner(tmp_path):
    ours = networks(seed=1)
    same, summary = taken(ours, saved(networks(replace(DESIGN, reasoning="none")), tmp_path))
    assert parts(ours, "detector") <= same and not same & kernels(ours, "reasoner")
    assert summary.startswith(f"{len(parts(ours, 'detector'))} of ")


def test_initial_weights_with_a_reasoner_for_a_training_without(tmp_path):
    ours = networks(replace(DESIGN, reasoning="none"), seed=1)
    assert taken(ours, saved(networks(), tmp_path))[0] == parts(ours, "detector")


@pytest.mark.parametrize("one", [False, True])
def test_of_another_reasoner_nothing_is_taken(tmp_path, one):
    """Narrower, or of fewer stages or more: half a reasoner is none."""
    others = [
        replace(DESIGN, reasoner_size=StageSize((1, 1, 1, 1), (4, 4, 4, 4), 4)),
        replace(DESIGN, reasoner_stages=2),
    ]
    for other in others:
        design, given = (DESIGN, other) if one else (other, DESIGN)
        ours = networks(design, seed=1)
        same, _ = taken(ours, saved(networks(given), tmp_path))
        assert parts(ours, "detector") <= same and not same & kernels(ours, "reasoner")


def test_initial_weights_fit_inputs_of_another_size(tmp_path):
    ours = networks(replace(DESIGN, width=128), seed=1)
    assert len(taken(ours, saved(networks(), tmp_path))[0]) > 100


@pytest.mark.parametrize(
    "other", [SHORT, replace(DESIGN, stages=3), replace(DESIGN, size=StageSize((1, 1, 1, 1), (4, 4, 8, 16), 8))]
)
def test_a_detector_of_another_design_is_refused(tmp_path, other):
    ours = networks(seed=1)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    with pytest.raises(
        OccluposeError, match=r"hupor\.safetensors: a detector of another design; train with the design of the file"
    ):
        load_initial_weights(ours, saved(networks(other), tmp_path))
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())
