import csv
import json
from dataclasses import replace
from math import inf

import numpy as np
import pytest
import torch

from hupor_maps import people_batch
from hupor_maps import random_people as gathered
from hupor_samples import (
    DESIGN,
    SHORT,
    SPACE,
    STILL,
    TINY,
    channel_leaves,
    make_batch,
    make_sampler,
    recipe_with_design,
    sample_with_depth,
    sample_without_depth,
    write_samples,
)
from occlupose.codecs.multi_person import TORSO, TargetMaps
from occlupose.errors import OccluposeError
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.losses import HEATMAPS, LIMB_DEPTHS, TORSO_DEPTHS, VECTORS, WEIGHT, PoseMaps
from occlupose.methods.hupor.network import IMAGE_HEAD, TORSO_DEPTH_HEAD, HUPORNetwork, add_maps, stack_channels
from occlupose.methods.hupor.network import LIMB_DEPTH_HEAD as FIELD_DEPTHS
from occlupose.methods.hupor.reasoning import TEACHER_KERNEL, target_maps
from occlupose.methods.hupor.sampler import BottomUpSampler
from occlupose.methods.hupor.train import HUPORTraining, detection_loss, train_hupor
from occlupose.networks import pretrained
from occlupose.networks.movenet import FROZEN_BLOCKS
from occlupose.skeletons import MPI15
from occlupose.training import loop
from occlupose.training.run import TrainingRun

QUICK = replace(TINY, design=SHORT)
HEAD = MPI15.index("head_top")[0]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Two images with depth and two without."""
    return write_samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def begun(samples, tmp_path_factory):
    """Weights of a training of two steps."""
    return trained(samples, tmp_path_factory.mktemp("begun"), replace(QUICK, epochs=2, detector_only_fraction=0.0))


def trained(samples, folder, recipe=QUICK, **options):
    return train_hupor(samples, recipe, TrainingRun(folder, progress=False, **{"say": lambda line: None} | options))


def make_training(recipe=TINY, steps=8):
    torch.manual_seed(0)
    return HUPORTraining(HUPORNetwork(recipe.design), recipe, steps)


def moved(module):
    """Parameters that a gradient would move, of all those that could be."""
    return {
        name for name, parameter in module.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }


# ------------------------------------------------------------------------------------------ losses


def heads_of(networks, maps, depths):
    """A level's heads that say these maps."""
    channels = stack_channels(maps)
    return {
        IMAGE_HEAD: channels[:, :43].clone(),
        FIELD_DEPTHS: channels[:, 43:].clone(),
        TORSO_DEPTH_HEAD: depths.clone(),
    }


def perfect(networks, batch):
    """The output of a perfect detector, by stage and level."""
    truth = TargetMaps(networks.codec, batch.people)
    cells, depth = networks.codec.depths(batch.people, "visible")
    depths = torch.zeros(len(cells), len(TORSO), 16 * 16)
    for row, person, joint in depth.isfinite().nonzero().tolist():
        depths[row, joint, cells[row, person, joint]] = depth[row, person, joint]
    depths = depths.unflatten(-1, (16, 16))
    stages = ([3, 2, 1, 0], [4, 3, 2, 1])
    return [
        [heads_of(networks, target_maps(truth, "visible", kernel), depths) for kernel in stage] for stage in stages
    ], truth


def test_a_detector_without_mistakes_has_no_loss_and_each_mistake_counts_as_published():
    """In every stage and level; the finest counts four times as much as others, and in it the hardest channels
    count.
    """
    networks = make_training().networks
    batch = make_batch([sample_with_depth(0, people=1), sample_with_depth(1, people=1)])
    found, truth = perfect(networks, batch)
    terms = detection_loss(networks, found, batch, truth, TINY)
    assert terms["visible"].item() == pytest.approx(0, abs=1e-6) and terms["torso"].item() == pytest.approx(0, abs=1e-5)
    factors = {IMAGE_HEAD: (5, HEATMAPS, 8, 15), FIELD_DEPTHS: (3, LIMB_DEPTHS, 8, 14)}
    for stage, level, head, limb in (
        (0, 0, IMAGE_HEAD, False),
        (1, 2, IMAGE_HEAD, False),
        (1, 0, FIELD_DEPTHS, False),
        (0, 3, IMAGE_HEAD, True),
    ):
        found, _ = perfect(networks, batch)
        channel, factor, hardest, count = (15 + 9, VECTORS, 16, 28) if limb else factors[head]
        found[stage][level][head][0, channel] += 0.1
        expected = (1 if level == 0 else 0.25) * WEIGHT * factor * 0.01 / (2 * (hardest if level == 0 else count))
        assert detection_loss(networks, found, batch, truth, TINY)["visible"].item() == pytest.approx(
            expected, rel=1e-3
        )
    found, _ = perfect(networks, batch)
    found[0][1][TORSO_DEPTH_HEAD] += 0.1
    assert detection_loss(networks, found, batch, truth, TINY)["torso"].item() == pytest.approx(
        0.25 * TORSO_DEPTHS * 0.1, rel=1e-3
    )


def test_joints_that_coco_lacks_have_no_gradient_in_the_detector():
    """No heatmap of the head, no limb to it, no depth of any limb or joint; all that it says has one, and beside it all
    of the other.
    """
    networks = make_training().networks
    batch = make_batch([sample_with_depth(0), sample_without_depth(0)])
    flats = channel_leaves(2, 43)
    fields = channel_leaves(2, 14)
    depths = channel_leaves(2, 7)
    found = [
        [{IMAGE_HEAD: a, FIELD_DEPTHS: b, TORSO_DEPTH_HEAD: c} for a, b, c in zip(*stage, strict=True)]
        for stage in zip(flats, fields, depths, strict=True)
    ]
    sum(detection_loss(networks, found, batch, TargetMaps(networks.codec, batch.people), TINY).values()).backward()
    unsaid = {HEAD, 15, 16}  # and the x and y of the first limb, from neck to head
    assert MPI15.limbs[0] == ("neck", "head_top")
    seen = [bool((each.state[:, MPI15.index(*TORSO)] == 2).any()) for each in (sample_with_depth(0),)]
    assert seen == [True]
    for stage in found:
        for number, level in enumerate(stage):
            with_depth = level[IMAGE_HEAD].grad[0].flatten(1).any(1)
            without = level[IMAGE_HEAD].grad[1].flatten(1).any(1)
            if number:  # of the finest level the hardest channels count alone
                assert with_depth.all()
                assert {*(~without).nonzero().flatten().tolist()} == unsaid
            else:
                assert not without[list(unsaid)].any() and without.sum() == 8 + 16
            assert level[FIELD_DEPTHS].grad[0].any() and not level[FIELD_DEPTHS].grad[1].any()
            assert level[TORSO_DEPTH_HEAD].grad[0].any() and not level[TORSO_DEPTH_HEAD].grad[1].any()


# ------------------------------------------------------------------------------------ what learns when


def record_distillation(training, monkeypatch):
    """Records the inputs and outputs of the distillation."""
    noted = []
    real = training.networks.reasoner.distil

    def distilled(visible, batch, image):
        answer = real(visible, batch, image)
        noted.append((visible.detach(), batch, answer))
        return answer

    monkeypatch.setattr(training.networks.reasoner, "distil", distilled)
    return noted


@pytest.mark.parametrize("reasoning", ["dsed", "hourglass"])
def test_the_reasoner_never_moves_the_detector_nor_the_other_way_round(samples, reasoning):
    """Though it is given the detector's maps, its terms have no gradient there, not even a small one."""
    training = make_training(
        replace(
            recipe_with_design(reasoning=reasoning),
            detector_only_fraction=0.0,
            predicted_input_fraction=1.0,
            distillation_warm_up=0.1,
        )
    )
    training.step += 4
    terms = training(make_batch(samples))
    assert min(terms[name].item() for name in ("visible", "torso", "hidden", "all")) > 0
    (terms["visible"] + terms["torso"]).backward(retain_graph=True)
    assert moved(training.networks.detector) == {name for name, _ in training.networks.detector.named_parameters()}
    assert not moved(training.networks.reasoner)
    training.zero_grad()
    (terms["hidden"] + terms["all"] + terms["distillation"]).backward()
    assert all(parameter.grad is None for parameter in training.networks.detector.parameters())
    assert moved(training.networks.reasoner) == {name for name, _ in training.networks.reasoner.named_parameters()}


def test_the_detector_trains_alone_at_first(samples, tmp_path):
    """Until then the reasoner's weights do not move at all; afterwards all of them do, teacher, student and decoder."""
    recipe = replace(QUICK, detector_only_fraction=0.5, epochs=8)
    training = make_training(recipe)
    states = []

    def loss(model, batch):
        states.append({name: value.clone() for name, value in training.networks.state_dict().items()})
        return model(batch)

    sampler = make_sampler(samples, recipe)
    loop.train(training, sampler.draw, loss, replace(recipe.optimisation(4), save_every=8), tmp_path, progress=False)
    reasoner = [name for name in states[0] if name.startswith("reasoner.")]
    assert len(states) == 8
    for state in states[:5]:  # as the fifth step begins four are done
        assert all(torch.equal(state[name], states[0][name]) for name in reasoner)
    weights_of = [name for name, _ in training.networks.named_parameters() if name.startswith("reasoner.")]
    assert not any(torch.equal(states[7][name], states[0][name]) for name in weights_of)
    assert not torch.equal(states[1]["detector.stem.0.0.weight"], states[0]["detector.stem.0.0.weight"])
    table = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [row["hidden"] == "0" for row in table] == [True] * 4 + [False] * 4


def test_distillation_grows_to_its_most_over_a_quarter_of_the_reasoner_s_training(samples, monkeypatch):
    recipe = replace(QUICK, detector_only_fraction=0.5, distillation_weight=3.0, distillation_warm_up=0.25)
    training = make_training(recipe, steps=32)
    noted = record_distillation(training, monkeypatch)
    batch = make_batch(samples)
    found = []
    for step in (0, 15, 16, 17, 18, 19, 20, 24, 31):
        training.step.fill_(step)
        term = training(batch)["distillation"].item()
        found.append(term / noted[-1][2].distances.sum().item() if noted else term)
        assert training.step.item() == step + 1
    assert found == pytest.approx([0, 0, 0, 0.75, 1.5, 2.25, 3, 3, 3], rel=1e-5)


@pytest.mark.parametrize("blocks", [(1,), (4,), (2, 3, 4), (1, 2, 3, 4)])
def test_only_the_distilled_levels_are_compared(samples, monkeypatch, blocks):
    training = make_training(
        replace(TINY, design=replace(DESIGN, reasoner_stages=2), detector_only_fraction=0.0, distilled_levels=blocks)
    )
    noted = record_distillation(training, monkeypatch)
    training.step += 7
    term = training(make_batch(samples))["distillation"]
    distances = noted[0][2].distances
    assert distances.shape == (2, 4)
    assert term.item() == pytest.approx(sum(distances[:, block - 1].sum().item() for block in blocks), rel=1e-5)
    assert term.item() < distances.sum().item() or len(blocks) == 4


def test_without_a_teacher_the_reasoner_trains_directly(samples):
    training = make_training(replace(recipe_with_design(reasoning="hourglass"), detector_only_fraction=0.0))
    terms = training(make_batch(samples))
    assert terms["distillation"].item() == 0 and not terms["distillation"].requires_grad
    terms["hidden"].backward()
    assert moved(training.networks.reasoner) == {name for name, _ in training.networks.reasoner.named_parameters()}


@pytest.mark.parametrize("detach", [False, True])
def test_whether_the_teacher_moves_towards_the_student(samples, detach):
    training = make_training(replace(recipe_with_design(detach=detach), detector_only_fraction=0.0))
    training.step += 7
    terms = training(make_batch(samples))
    terms["distillation"].backward(retain_graph=True)
    assert bool(moved(training.networks.reasoner.teachers)) is not detach
    assert moved(training.networks.reasoner.students)
    training.zero_grad()
    (terms["hidden"] + terms["all"]).backward()
    assert moved(training.networks.reasoner.teachers) and moved(training.networks.reasoner.decoders)
    assert not moved(training.networks.reasoner.students)


@pytest.mark.parametrize("teacher_input", ["hidden", "all"])
def test_the_input_of_the_teacher(samples, monkeypatch, teacher_input):
    training = make_training(replace(TINY, detector_only_fraction=0.0, teacher_input=teacher_input))
    noted = record_distillation(training, monkeypatch)
    given = make_batch(samples)
    training(given)
    truth = TargetMaps(training.networks.codec, given.people)
    assert TEACHER_KERNEL == 3
    assert torch.equal(noted[0][1], stack_channels(target_maps(truth, teacher_input, 3)))
    other = target_maps(truth, "all" if teacher_input == "hidden" else "hidden", 3)
    assert not torch.equal(noted[0][1], stack_channels(other))


def source(training, given, truth, detected):
    """The student's input for each image: the kernel of true visible maps, or "detector"."""
    candidates = {kernel: stack_channels(target_maps(truth, "visible", kernel)) for kernel in range(5)} | {
        "detector": detected
    }
    return [
        next((name for name, maps in candidates.items() if torch.allclose(row, maps[number], atol=1e-6)), None)
        for number, row in enumerate(given)
    ]


@pytest.mark.parametrize("mixed", [0.0, 0.5, 1.0])
def test_the_student_is_given_true_visible_maps_of_any_kernel_or_the_detector_s(samples, monkeypatch, mixed):
    training = make_training(replace(QUICK, detector_only_fraction=0.0, predicted_input_fraction=mixed))
    noted = record_distillation(training, monkeypatch)
    given = make_batch(samples)
    truth = TargetMaps(training.networks.codec, given.people)
    with torch.no_grad():
        detected = stack_channels(training.networks.visible_maps(training.networks.detect(given.images)))
    sources = []
    for _ in range(20):
        training(given)
        sources.append(source(training, noted[-1][0], truth, detected))
    of_detector = np.mean([name == "detector" for row in sources for name in row])
    assert all(name is not None for row in sources for name in row)
    assert of_detector == mixed if mixed != 0.5 else 0.3 < of_detector < 0.7
    assert mixed != 0.5 or any(len(set(row)) > 1 for row in sources)  # image by image
    assert mixed == 1 or {name for row in sources for name in row} - {"detector"} == {0, 1, 2, 3, 4}


def test_without_a_reasoner_only_the_detector_has_loss_terms(samples):
    assert list(make_training(recipe_with_design(reasoning="none"))(make_batch(samples))) == ["visible", "torso"]
    assert list(make_training()(make_batch(samples))) == ["visible", "torso", "hidden", "all", "distillation"]
    assert list(make_training(replace(TINY, detector_only_fraction=0.0))(make_batch(samples))) == [
        "visible",
        "torso",
        "hidden",
        "all",
        "distillation",
    ]


def test_a_detector_that_stays_is_used_as_it_is(samples):
    """In training too: batch normalisation uses its statistics."""
    training = make_training(replace(TINY, train_detector=False)).train()
    before = {name: value.clone() for name, value in training.networks.detector.state_dict().items()}
    terms = training(make_batch(samples))
    assert list(terms) == ["hidden", "all", "distillation"] and training.networks.reasoner.training
    assert not any(part.training for part in training.networks.detector.modules())
    sum(terms.values()).backward()
    assert all(torch.equal(value, before[name]) for name, value in training.networks.detector.state_dict().items())
    assert all(parameter.grad is None for parameter in training.networks.detector.parameters())


# ---------------------------------------------------------------------------------------- training


def rows(folder):
    return [row[:-1] for row in csv.reader((folder / "log.csv").open())]


class Killed(Exception):
    pass


def killed_after(count, monkeypatch):
    real = BottomUpSampler.draw
    left = iter(range(count))

    def dying(self, generator):
        if next(left, None) is None:
            raise Killed
        return real(self, generator)

    monkeypatch.setattr(BottomUpSampler, "draw", dying)


@pytest.mark.slow
def test_it_fits_a_few_images(samples, tmp_path):
    recipe = replace(
        TINY,
        batch=8,
        epochs=100,
        detector_only_fraction=0.0,
        predicted_input_fraction=0.0,
        augmentation=STILL,
        learning_rate=1e-2,
    )
    trained(samples, tmp_path, recipe)
    log = list(csv.DictReader((tmp_path / "log.csv").open()))
    first = {name: float(value) for name, value in log[0].items()}
    last = {name: float(value) for name, value in log[-1].items()}
    assert last["step"] == 50
    assert last["visible"] < 0.7 * first["visible"]
    assert last["torso"] < 0.8 * first["torso"]
    assert last["hidden"] < 0.75 * first["hidden"] and last["all"] < 0.75 * first["all"]


def test_a_resumed_run_ends_as_an_uninterrupted_one(samples, tmp_path, monkeypatch):
    """Before and after the reasoner begins to learn; what chance decides in the network goes on too."""
    straight = trained(samples, tmp_path / "straight")
    with monkeypatch.context() as killing:
        killed_after(4, killing)
        with pytest.raises(Killed):
            trained(samples, tmp_path / "resumed")
    torch.manual_seed(99)
    assert 0 < torch.load(tmp_path / "resumed" / "last.pt", weights_only=True)["step"] < 6
    resumed = trained(samples, tmp_path / "resumed", resume=True)
    assert resumed.read_bytes() == straight.read_bytes()
    assert rows(tmp_path / "resumed") == rows(tmp_path / "straight")
    assert [row[0] for row in rows(tmp_path / "straight")] == ["step", "1", "2", "3", "4", "5", "6"]
    card = json.loads(straight.with_suffix(".json").read_text())
    assert (card["name"], card["pictures"], card["people"]) == ("tiny", 4, sum(map(len, samples)))
    assert card["recipe"]["design"]["width"] == 64 and card["recipe"]["max_grad_norm"] is None
    assert str(tmp_path) not in straight.with_suffix(".json").read_text()
    assert card["parameters"] == sum(value.numel() for value in HUPORNetwork(SHORT).parameters())


def test_a_run_is_resumed_only_with_its_recipe_and_people(samples, tmp_path):
    once = replace(QUICK, epochs=1)
    trained(samples, tmp_path, once)
    before = (tmp_path / "last.pt").read_bytes()
    for changed_samples, recipe in (
        (samples, replace(once, predicted_input_fraction=0.25)),
        ([*samples[:3], sample_without_depth(9, image=samples[3].image)], once),
    ):
        with pytest.raises(OccluposeError, match="started with other settings or data"):
            trained(changed_samples, tmp_path, recipe, resume=True)
    with pytest.raises(OccluposeError, match="give --resume"):
        trained(samples, tmp_path, once)
    assert (tmp_path / "last.pt").read_bytes() == before


def tensors(path):
    return weights.load(path).networks.state_dict()


def test_training_starts_from_initial_weights(samples, begun, tmp_path):
    """At a rate of nothing it ends with them."""
    still = replace(QUICK, epochs=1, learning_rate=0.0, ema_decay=0.9)
    path = trained(samples, tmp_path / "run", still, init_from=begun)
    parameters = {name for name, _ in HUPORNetwork(SHORT).named_parameters() if "teachers" not in name}
    one = tensors(begun)
    other = tensors(path)
    assert parameters <= one.keys() and all(torch.equal(one[name], other[name]) for name in parameters)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["begun_with"].endswith("tensors of tiny.safetensors") and len(card["sha256"]) == 64
    with pytest.raises(OccluposeError, match="started with other settings or data"):
        trained(samples, tmp_path / "run", still, resume=True)


def test_a_movenet_detector_begins_with_multipose_whose_first_layers_stay(samples, tmp_path):
    """Others are trained; hidden layers slower than new ones."""
    recipe = replace(QUICK, design=replace(SHORT, detector="movenet"), epochs=1, detector_only_fraction=0.0)
    multipose = pretrained.build("movenet_multipose").state_dict()
    after = tensors(trained(samples, tmp_path, recipe))
    ours = {name: f"detector.{name}" for name in multipose if not name.startswith("heads")}
    assert ours and set(ours.values()) <= after.keys()
    moved = {name for name, own in ours.items() if not torch.equal(multipose[name].half(), after[own].half())}
    first = ("backbone.stem", *(f"backbone.blocks.{number}." for number in range(FROZEN_BLOCKS)))
    assert moved and not any(name.startswith(first) for name in moved)
    assert all(value.isfinite().all() for value in after.values())


def test_a_detector_that_stays_is_the_same_to_the_bit_afterwards(samples, begun, tmp_path):
    """Its statistics do not change either, and the reasoner is trained."""
    path = trained(samples, tmp_path, replace(QUICK, train_detector=False, epochs=3, ema_decay=0.5), init_from=begun)
    one = tensors(begun)
    other = tensors(path)
    detector = [name for name in one if name.startswith("detector.")]
    assert any("running_mean" in name for name in detector) and any("num_batches" in name for name in detector)
    assert all(torch.equal(one[name], other[name]) for name in detector)
    assert not torch.equal(
        one["reasoner.students.0.levels.0.0.conv1.weight"], other["reasoner.students.0.levels.0.0.conv1.weight"]
    )


def test_the_reasoner_trains_on_labels_alone(tmp_path):
    """Without any image, if the detector is neither trained nor used."""
    labels = [sample_with_depth(0), sample_without_depth(1)]
    alone = replace(QUICK, train_detector=False, predicted_input_fraction=0.0, epochs=4)
    assert trained(labels, tmp_path / "run", alone).exists()
    for recipe in (QUICK, replace(alone, predicted_input_fraction=0.5)):
        with pytest.raises(
            OccluposeError,
            match=r"data: no images; give a dataset with images, or train the reasoner alone",
        ):
            trained(labels, tmp_path / "other", recipe)
    assert not (tmp_path / "other").exists()


def test_samples_without_images_are_skipped_if_images_are_needed(samples, tmp_path):
    output = []
    trained([*samples[:2], sample_with_depth(7)], tmp_path, replace(QUICK, epochs=1), say=output.append)
    people = len(samples[0]) + len(samples[1])
    assert output == [f"tiny: trains on {people} people in 2 images, 2 with depth"]


def test_a_detector_cannot_stay_as_it_is_without_weights(samples, tmp_path):
    with pytest.raises(OccluposeError, match="train_detector: an untrained detector would stay untrained; give"):
        trained(samples, tmp_path, replace(QUICK, train_detector=False, predicted_input_fraction=0.5))


def test_unreadable_images_are_reported_at_the_end(tmp_path):
    given = write_samples(tmp_path)
    given[0].image.path.unlink()
    output = []
    trained(given, tmp_path / "run", replace(QUICK, epochs=2, batch=8), say=output.append)
    assert output[-1] == "images that could not be read, skipped: 1" and "0.png" in output[-2]
    with pytest.raises(OccluposeError, match=r"0\.png"):
        trained(given, tmp_path / "strict", replace(QUICK, epochs=2, batch=8), strict=True)


def test_labels_may_be_left_out(samples, tmp_path):
    """All joints count as visible then: the detector learns of more, and of nothing that is hidden."""
    recipe = replace(QUICK, epochs=1, detector_only_fraction=0.0, batch=8)
    tables = {}
    for labels in ("dataset", "none"):
        path = trained(samples, tmp_path / labels, replace(recipe, occlusion_labels=labels))
        assert json.loads(path.with_suffix(".json").read_text())["recipe"]["occlusion_labels"] == labels
        (tables[labels],) = csv.DictReader((tmp_path / labels / "log.csv").open())
    assert 1.2 * float(tables["dataset"]["visible"]) < float(tables["none"]["visible"])
    assert float(tables["dataset"]["hidden"]) > 1.2 * float(tables["none"]["hidden"])


def test_gradients_may_be_as_large_as_they_are(samples, tmp_path):
    assert QUICK.max_grad_norm == inf
    clipped = trained(samples, tmp_path / "clipped", replace(QUICK, epochs=2, max_grad_norm=1e-3))
    assert json.loads(clipped.with_suffix(".json").read_text())["recipe"]["max_grad_norm"] == 1e-3
    assert all(value.isfinite().all() for value in tensors(clipped).values())


@pytest.mark.parametrize("people", [3, 4, 6])
@pytest.mark.parametrize("level", [0, 4])
def test_targets_of_all_joints_combine_visible_and_hidden(people, level):
    """Of people who lie over each other. Heatmaps: the higher of both. Fields: where one part alone lies, that; where
    both do, a mean that lies between them. So what networks add up is true wherever only one part is."""
    random = np.random.default_rng((people, level))
    xyz = gathered(random, people - 1, SPACE, apart=0)
    xyz = np.concatenate([xyz, xyz[:1] * 1.02 + [0.02, 0.02, 0]])  # a person close behind another
    states = random.choice([0, 1, 2], xyz.shape[:2], p=[0.1, 0.4, 0.5]).astype(np.uint8)
    truth = TargetMaps(SPACE, people_batch(xyz, states, SPACE))
    visible = truth.heatmaps("visible", level)
    hidden = truth.heatmaps("hidden", level)
    everything = truth.heatmaps("all", level)
    assert torch.equal(everything, torch.maximum(visible, hidden)) and torch.equal(
        everything, SPACE.heatmaps(truth.people, "all", level)
    )
    assert ((visible > 0) & (hidden > 0)).any()
    lies = {part: fields_lie(truth.people, part, level) for part in ("visible", "hidden", "all")}
    visible = truth.fields("visible", level)
    hidden = truth.fields("hidden", level)
    everything = truth.fields("all", level)
    both = lies["visible"] & lies["hidden"]
    either = lies["visible"] | lies["hidden"]
    assert torch.equal(lies["all"], either) and both.any() and (either & ~both).any()
    torch.testing.assert_close(everything, SPACE.fields(truth.people, "all", level))
    summed = add_maps(
        PoseMaps(truth.heatmaps("visible", level), visible), PoseMaps(truth.heatmaps("hidden", level), hidden)
    )
    alone = (~both)[:, :, None].expand_as(everything)
    torch.testing.assert_close(everything[alone], summed.fields[alone])
    between = (everything >= torch.minimum(visible, hidden) - 1e-6) & (
        everything <= torch.maximum(visible, hidden) + 1e-6
    )
    assert between[~alone].all()
    apart = (truth.heatmaps("visible", level) == 0) | (truth.heatmaps("hidden", level) == 0)
    assert (
        torch.equal(summed.heatmaps[apart], truth.heatmaps("all", level)[apart])
        and (summed.heatmaps >= truth.heatmaps("all", level)).all()
    )


def fields_lie(given, part, level):
    """In which cells any limb lies, limb by limb; by the field of a sample in which all depths of limbs are one."""
    deep = torch.arange(len(MPI15), dtype=torch.float32)
    return SPACE.fields(replace(given, z=deep.expand_as(given.z)), part, level)[:, :, 2] != 0
