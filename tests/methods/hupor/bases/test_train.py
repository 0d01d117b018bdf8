import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from composite_fields import SPREAD, perfect_fields
from keypoint_samples import HUPOR, PIFPAF, TINY, load_people, recipe_with
from occlupose.codecs.multi_person import TargetMaps
from occlupose.datasets.augmentation import make_bottomup_batch
from occlupose.datasets.formats.coco import make_keypoint_samples
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.bases.recipe import RECIPES
from occlupose.methods.hupor.bases.train import HigherHRNetTraining, ReasonerTraining, base_training, train_dsed
from occlupose.methods.hupor.network import stack_channels
from occlupose.methods.hupor.reasoning import target_maps
from occlupose.methods.hupor.sampler import BottomUpSampler
from occlupose.networks import bottom_up, pretrained
from occlupose.networks.bottom_up import BottomUpNetwork
from occlupose.networks.higher_hrnet import HigherHRNetMaps
from occlupose.skeletons import COCO17, CROWDPOSE14
from occlupose.training.recipe import changed
from occlupose.training.run import TrainingRun


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return load_people(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def base(people, tmp_path_factory):
    """Weights of a base that was trained for a moment."""
    return trained(people, tmp_path_factory.mktemp("base"), recipe_with(reasoning="none"))


def trained(people, folder, recipe=TINY, **options):
    return train_dsed(people, recipe, TrainingRun(folder, progress=False, **{"say": lambda line: None} | options))


def make_batch(people, with_images=True):
    samples = make_keypoint_samples(people)
    images = [sample.read() for sample in samples] if with_images else None
    return make_bottomup_batch(samples, images, TINY.design.letterbox)


def network(**changes):
    torch.manual_seed(0)
    return BottomUpNetwork(recipe_with(**changes).design)


def moved(module):
    return {name for name, value in module.named_parameters() if value.grad is not None and value.grad.any()}


def rows(folder):
    return list(csv.DictReader((folder / "log.csv").open()))


# -------------------------------------------------------------------------------------- the base


def perfect_maps(given, codecs, tags):
    """What a perfect base says of a batch; tags are those of the people, everywhere."""
    truth = [TargetMaps(codec, given.people) for codec in codecs]
    cells, known = codecs[0].joint_cells(given.people, "all")
    maps = torch.zeros(len(known), known.shape[2], codecs[0].shape[0] * codecs[0].shape[1])
    for row, person, joint in known.nonzero().tolist():
        maps[row, joint, cells[row, person, joint]] = tags[person]
    heatmaps = tuple(each.heatmaps("visible", 1) for each in truth)
    return HigherHRNetMaps(
        heatmaps, maps.unflatten(-1, codecs[0].shape), (truth[0].fields("visible", 4).flatten(1, 2),)
    )


def test_a_perfect_base_has_no_loss(people, monkeypatch):
    """Heatmaps and fields of visible joints alone; tags of hidden joints too."""
    whole = network()
    given = make_batch(people)
    training = HigherHRNetTraining(whole, TINY.higherhrnet)
    perfect = perfect_maps(given, whole.design.codecs, [50.0, -50.0])
    monkeypatch.setattr(whole, "detect", lambda images: perfect)
    terms = training(given)
    assert terms.keys() == {"heatmaps", "pull", "push", "fields"}
    assert all(term.item() == pytest.approx(0, abs=1e-9) for term in terms.values())
    hidden = (given.people.state == 1).nonzero()[0].tolist()
    cells, _ = whole.design.codecs[0].joint_cells(given.people, "all")
    perfect.tags[hidden[0], hidden[2]].view(-1)[cells[tuple(hidden)]] += 1
    joints = int((given.people.state[hidden[0], hidden[1]] > 0).sum())
    expected = 1e-3 * (1 / joints - 1 / joints**2) / (2 * len(people.people) / 2)
    assert training(given)["pull"].item() == pytest.approx(expected, rel=1e-3)


def test_each_mistake_counts_with_its_weight(people, monkeypatch):
    whole = network()
    given = make_batch(people)
    recipe = replace(TINY.higherhrnet, field_weight=0.5, tag_weight=0.0)
    training = HigherHRNetTraining(whole, recipe)
    perfect = perfect_maps(given, whole.design.codecs, [5.0, -5.0])
    monkeypatch.setattr(whole, "detect", lambda images: perfect)
    perfect.heatmaps[0][0, 3] += 0.1
    perfect.heatmaps[1][0, 3] += 0.1
    perfect.fields[0][1, 7] += 0.2
    terms = training(given)
    assert terms["heatmaps"].item() == pytest.approx(2 * 0.01 / (3 * 17), rel=1e-4)
    assert terms["fields"].item() == pytest.approx(0.5 * 0.04 / (3 * 32), rel=1e-4)
    assert terms["pull"] == terms["push"] == 0


def test_the_base_learns_and_the_reasoner_does_not(people):
    whole = network()
    training = HigherHRNetTraining(whole, TINY.higherhrnet)
    sum(training(make_batch(people)).values()).backward()
    names = moved(whole)
    assert all(name.startswith("base.") for name in names)
    assert {"base.fields.0.weight", "base.head.final_layers.0.weight", "base.backbone.conv1.weight"} <= names


def test_a_base_without_fields_has_no_term_for_them(people):
    terms = HigherHRNetTraining(network(fields=False, reasoning="none"), TINY.higherhrnet)(make_batch(people))
    assert terms.keys() == {"heatmaps", "pull", "push"}


def pifpaf():
    torch.manual_seed(0)
    return BottomUpNetwork(PIFPAF.design)


def test_perfect_composite_fields_have_the_loss_of_their_spread_alone(people, monkeypatch):
    """Of visible joints and limbs; a missing hidden one costs nothing."""
    whole = pifpaf()
    given = make_batch(people)
    perfect = perfect_fields(given.people, whole.design.codecs[1])
    monkeypatch.setattr(whole, "detect", lambda images: perfect)
    terms = base_training(whole, PIFPAF.pifpaf)(given)
    assert terms.keys() == {"confidence", "offset", "scale"}
    assert terms["confidence"].item() == pytest.approx(0, abs=0.01) and terms["scale"].item() == pytest.approx(
        0, abs=1e-5
    )
    assert terms["offset"].item() == pytest.approx(3 * (np.log(2) + SPREAD), abs=0.02)
    doubled = base_training(whole, replace(PIFPAF.pifpaf, offset_weight=2.0))(given)
    assert doubled["offset"].item() == pytest.approx(2 * terms["offset"].item())


def test_pifpaf_learns_and_the_reasoner_does_not(people):
    whole = pifpaf()
    sum(base_training(whole, PIFPAF.pifpaf)(make_batch(people)).values()).backward()
    names = moved(whole)
    assert {"base.joints.conv.weight", "base.limbs.conv.weight", "base.backbone.conv1.weight"} <= names
    assert all(name.startswith("base.") for name in names)


# ---------------------------------------------------------------------------------- the reasoner


def test_the_reasoner_behind_pifpaf_learns_from_all_limbs(people, tmp_path):
    """17 heatmaps and 19 fields."""
    whole = pifpaf()
    assert whole.reasoner.channels == 17 + 2 * 19
    training = ReasonerTraining(whole, replace(PIFPAF, predicted_input_fraction=1.0), 8).train()
    training.step += 4
    terms = training(make_batch(people))
    sum(terms.values()).backward()
    assert {name.split(".")[0] for name in moved(whole)} == {"reasoner"}
    loaded = bottom_up.load(trained(people, tmp_path / "run", PIFPAF))
    assert loaded.design.family == "pifpaf" and loaded.design.skeleton == "coco17"
    assert [*rows(tmp_path / "run" / "base")[0]] == ["step", "confidence", "offset", "scale", "seconds"]


def test_the_reasoner_learns_and_the_frozen_base_does_not(people):
    whole = network()
    training = ReasonerTraining(whole, replace(TINY, predicted_input_fraction=0.5), 8).train()
    assert not whole.base.training and whole.reasoner.training
    training.step += 4
    before = {name: value.clone() for name, value in whole.base.state_dict().items()}
    terms = training(make_batch(people))
    assert terms.keys() == {"hidden", "all", "distillation"}
    sum(terms.values()).backward()
    assert {name.split(".")[0] for name in moved(whole)} == {"reasoner"}
    assert all(torch.equal(value, before[name]) for name, value in whole.base.state_dict().items())


def test_omega_grows_to_five_over_the_first_half(people):
    """And the teacher is shown the hidden joints."""
    whole = network()
    training = ReasonerTraining(whole, TINY, 8).eval()
    given = make_batch(people, with_images=False)
    at = {}
    for step in (0, 2, 4, 8):
        training.step.fill_(step)
        torch.manual_seed(0)
        at[step] = training(given)["distillation"].item()
    assert at[0] == 0 and at[2] == pytest.approx(at[4] / 2, rel=1e-4) and at[8] == pytest.approx(at[4], rel=1e-4)
    distance = whole.reasoner.distil(
        *(
            stack_channels(target_maps(TargetMaps(training.codec, given.people), subset, kernel))
            for subset, kernel in (("visible", 4), ("hidden", 3))
        )
    ).distances.sum()
    assert at[4] == pytest.approx(5 * distance.item(), rel=0.5)  # the student's kernel is random


def test_the_student_may_be_given_the_base_s_maps(people, monkeypatch):
    whole = network()
    training = ReasonerTraining(whole, replace(TINY, predicted_input_fraction=1.0), 8).eval()
    given = make_batch(people)
    noted = []
    real = whole.reasoner.distil
    monkeypatch.setattr(
        whole.reasoner, "distil", lambda visible, hidden, image: noted.append(visible) or real(visible, hidden, image)
    )
    training(given)
    with torch.no_grad():
        torch.testing.assert_close(noted[0], whole.reasoner_input(whole.detect(given.images)))


def test_an_hourglass_learns_directly(people):
    whole = network(reasoning="hourglass")
    terms = ReasonerTraining(whole, TINY, 8)(make_batch(people, with_images=False))
    assert terms["distillation"] == 0 and terms["hidden"] > 0
    (terms["hidden"] + terms["all"]).backward()
    assert moved(whole.reasoner) == {name for name, _ in whole.reasoner.named_parameters()}


# --------------------------------------------------------------------------------------- the run


def test_a_run_trains_both_and_writes_weights_and_card(people, tmp_path):
    path = trained(people, tmp_path / "run")
    assert path.name == "tiny.safetensors"
    loaded = bottom_up.load(path)
    assert loaded.design == replace(TINY.design, skeleton="coco17")
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["task"] == "image to the people in it, coco17, pixels" and card["data"]["people"] == 6
    assert card["recipe"]["higherhrnet"]["field_weight"] == 0.5 and card["recipe"]["distillation_weight"] == 5.0
    assert [*rows(tmp_path / "run" / "base")[0]] == ["step", "heatmaps", "pull", "push", "fields", "seconds"]
    assert [*rows(tmp_path / "run" / "reasoner")[0]] == ["step", "hidden", "all", "distillation", "seconds"]
    assert len(rows(tmp_path / "run" / "base")) == 3


@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14], ids=lambda skeleton: skeleton.name)
def test_the_joints_are_those_of_the_data(tmp_path, skeleton):
    people = load_people(tmp_path, skeleton=skeleton)
    loaded = bottom_up.load(trained(people, tmp_path / "run"))
    assert loaded.design.skeleton == skeleton.name and loaded.joints == len(skeleton)


def test_a_reasoner_alone_keeps_the_base_of_the_initial_weights(people, base, tmp_path):
    recipe = replace(TINY, higherhrnet=replace(TINY.higherhrnet, epochs=0))
    path = trained(people, tmp_path / "run", recipe, init_from=base)
    given = bottom_up.load(base).state_dict()
    after = bottom_up.load(path).state_dict()
    assert all(torch.equal(after[name], value) for name, value in given.items() if name.startswith("base."))
    assert not (tmp_path / "run" / "base").exists()
    with pytest.raises(OccluposeError, match="an untrained base would stay untrained; give initial weights"):
        trained(people, tmp_path / "other", recipe)


def test_the_same_seed_gives_the_same_weights(people, tmp_path):
    first = trained(people, tmp_path / "a")
    again = trained(people, tmp_path / "b")
    other = trained(people, tmp_path / "c", replace(TINY, seed=1))
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ["movenet", "pifpaf-movenet"])
def test_a_base_on_movenet_s_features_begins_with_multipose(people, tmp_path, name):
    """The first layers stay MultiPose's, to the precision of the file."""
    recipe = RECIPES[name]
    short = {f"{recipe.family}.epochs": 0.5, f"{recipe.family}.batch": 2, "epochs": 0.5, "batch": 2}
    recipe = changed(recipe, {"design.side": 64, **short})
    base = bottom_up.load(trained(people, tmp_path, recipe)).base
    multipose = pretrained.build("movenet_multipose")
    first = multipose.backbone.blocks[0].depthwise.weight
    torch.testing.assert_close(base.backbone.backbone.blocks[0].depthwise.weight, first, rtol=1e-3, atol=1e-3)
    late = multipose.backbone.blocks[-1].project.weight
    assert (base.backbone.backbone.blocks[-1].project.weight - late).abs().max() < 0.01


# ------------------------------------------------------------------------------------- HUPOR in 2D


def test_a_perfect_detector_has_no_loss_and_a_mistake_the_weight_of_its_level(people, monkeypatch):
    """L_det without depths: coarse to fine; at the finest level the eight hardest heatmaps count."""
    batch = make_batch(people)
    network = BottomUpNetwork(HUPOR.design)
    codec = network.design.codecs[0]
    truth = TargetMaps(codec, batch.people)
    perfect = [
        [{"maps": stack_channels(target_maps(truth, "visible", kernel))} for kernel in kernels]
        for kernels in ([3, 2, 1, 0], [4, 3, 2, 1])
    ]
    monkeypatch.setattr(network, "detect", lambda images: perfect)
    training = base_training(network, replace(HUPOR.hupor, visible_weight=0.3))
    assert training(batch).keys() == {"visible"} and training(batch)["visible"].item() == pytest.approx(0, abs=1e-6)
    for stage, level, weight, channels in ((0, 0, 1, 8), (1, 2, 0.25, 17)):
        maps = perfect[stage][level]["maps"]
        maps[0, 5] += 0.1
        expected = 0.3 * weight * 255**2 * 0.01 / (channels * len(maps))
        assert training(batch)["visible"].item() == pytest.approx(expected, rel=1e-3)
        maps[0, 5] -= 0.1


def test_hupor_s_detector_learns_and_then_its_reasoner(people, tmp_path):
    network = BottomUpNetwork(HUPOR.design)
    sum(base_training(network, HUPOR.hupor)(make_batch(people)).values()).backward()
    assert moved(network) == {name for name, _ in network.named_parameters() if name.startswith("base.")}
    written = trained(people, tmp_path, HUPOR)
    assert bottom_up.load(written).design.base == "hupor_small"
    assert rows(tmp_path / "base")[0].keys() >= {"visible"}
    assert rows(tmp_path / "reasoner")[0].keys() >= {"hidden", "all", "distillation"}


def test_a_reasoner_that_sees_the_image_is_given_it(people, tmp_path):
    """Also when its input is true maps."""
    recipe = replace(TINY, design=replace(TINY.design, reasoner_image=True))
    assert recipe.predicted_input_fraction == 0
    network = BottomUpNetwork(recipe.design)
    training = ReasonerTraining(network, recipe, 4)
    training.step += 2  # distillation counts
    sum(training(make_batch(people)).values()).backward()
    assert {name for name in moved(network) if ".stem." in name}
    assert bottom_up.load(trained(people, tmp_path, recipe)).design.reasoner_image


@pytest.mark.parametrize("after", [1, 2, 4, 5])
def test_stopped_and_resumed_is_as_if_nothing_had_happened(people, tmp_path, monkeypatch, after):
    """Within the training of the base, between both, and within that of the reasoner."""
    whole = trained(people, tmp_path / "whole")
    real = BottomUpSampler.draw
    left = iter(range(after))

    def dying(self, generator):
        if next(left, None) is None:
            raise Killed
        return real(self, generator)

    monkeypatch.setattr(BottomUpSampler, "draw", dying)
    with pytest.raises(Killed):
        trained(people, tmp_path / "run")
    monkeypatch.setattr(BottomUpSampler, "draw", real)
    resumed = trained(people, tmp_path / "run", resume=True)
    assert resumed.read_bytes() == whole.read_bytes()
    for stage in ("base", "reasoner"):
        of_resumed = rows(tmp_path / "run" / stage)
        of_whole = rows(tmp_path / "whole" / stage)
        assert [{**row, "seconds": ""} for row in of_resumed] == [{**row, "seconds": ""} for row in of_whole]


@pytest.mark.parametrize("name", ["pifpaf", "hupor", "movenet"])
def test_other_bases_are_resumed_too(people, tmp_path, monkeypatch, name):
    """With the detector's own maps as input, which images decide about."""
    short = {"design.side": 64, "higherhrnet.epochs": 2, "higherhrnet.batch": 2, "epochs": 2, "batch": 2}
    recipes = {"pifpaf": PIFPAF, "hupor": HUPOR, "movenet": changed(RECIPES["movenet"], short)}
    recipe = replace(recipes[name], predicted_input_fraction=0.5)
    whole = trained(people, tmp_path / "whole", recipe)
    real = BottomUpSampler.draw
    left = iter(range(4))

    def dying(self, generator):
        if next(left, None) is None:
            raise Killed
        return real(self, generator)

    with monkeypatch.context() as killing:
        killing.setattr(BottomUpSampler, "draw", dying)
        with pytest.raises(Killed):
            trained(people, tmp_path / "run", recipe)
    assert trained(people, tmp_path / "run", recipe, resume=True).read_bytes() == whole.read_bytes()


def test_a_run_is_not_overwritten(people, tmp_path):
    trained(people, tmp_path / "run")
    with pytest.raises(OccluposeError, match="already holds a training run; give --resume"):
        trained(people, tmp_path / "run")


def test_it_fits_a_few_images(tmp_path):
    """In half a minute the base finds the visible joints of the images that it learnt, and the reasoner adds hidden
    ones to their maps.
    """
    people = load_people(tmp_path, images=2, people=1, hidden=0.2)
    recipe = replace(
        TINY,
        higherhrnet=replace(TINY.higherhrnet, epochs=60, batch=2, foreground_weight=10.0, milestones=()),
        epochs=60,
        learning_rate=4e-3,
        foreground_weight=10.0,
        distillation_weight=1.0,
    )
    loaded = bottom_up.load(trained(people, tmp_path / "run", recipe))
    given = make_batch(people)
    with torch.inference_mode():
        maps = loaded(given.images)
    truth = given.people.xy[:, 0]
    seen = given.people.state[:, 0] == 2
    cells = maps.visible.flatten(2).argmax(-1)
    found = torch.stack([cells % 64, cells // 64], -1)
    assert ((found - truth).norm(dim=-1)[seen] <= 3).float().mean() > 0.8
    first = rows(tmp_path / "run" / "reasoner")[0]
    last = rows(tmp_path / "run" / "reasoner")[-1]
    assert float(last["hidden"]) < 0.7 * float(first["hidden"])


def test_unreadable_images_are_named(people, tmp_path):
    own = load_people(tmp_path)
    bad = own.people[0].image.path
    bad.write_bytes(b"no image")
    said = []
    recipe = recipe_with(reasoning="none")
    recipe = replace(recipe, higherhrnet=replace(TINY.higherhrnet, epochs=8))
    trained(own, tmp_path / "run", recipe, say=said.append)
    assert any("skipped: 1" in line for line in said)


def test_samples_are_drawn_with_images_only_where_they_are_needed(people, tmp_path, monkeypatch):
    """The reasoner learns from labels alone unless the base's maps are mixed in."""
    made = []
    real = BottomUpSampler.__init__

    def noting(self, *args, with_images, **options):
        made.append(with_images)
        real(self, *args, with_images=with_images, **options)

    monkeypatch.setattr(BottomUpSampler, "__init__", noting)
    trained(people, tmp_path / "a")
    trained(people, tmp_path / "b", replace(TINY, predicted_input_fraction=0.5))
    assert made == [True, False, True, True]
    assert np.isfinite(float(rows(tmp_path / "b" / "reasoner")[-1]["hidden"]))
