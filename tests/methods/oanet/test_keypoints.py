import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interrupted_runs import kill_after, run_to_the_end
from occlupose import __version__
from occlupose.codecs.crops import Crop
from occlupose.codecs.heatmaps import Heatmaps
from occlupose.datasets.annotations import PersonAnnotation
from occlupose.datasets.formats.coco import load
from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError
from occlupose.frontends import build_frontend
from occlupose.frontends.boxes import load as load_boxes
from occlupose.frontends.hourglass import HourglassNetwork
from occlupose.media import open_media, write_image
from occlupose.methods.oanet.keypoints import (
    CropTransform,
    KeypointBatch,
    KeypointRecipe,
    KeypointSampler,
    heatmap_loss,
    keypoint_loss,
    make_sample,
    train_keypoints,
)
from occlupose.networks.hourglass import StackedHourglass, save
from occlupose.networks.hourglass import load as load_network
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import COCO17
from occlupose.training.loop import Optimisation
from occlupose.training.recipe import write
from occlupose.training.run import TrainingRun
from stick_figures import ENDS, JOINTS, draw_figure, write_figures

ARMS = COCO17.subset(("nose", "left_wrist", "right_wrist"))
STEPS = 60


def recipe(steps=4, **changes):
    optimisation = Optimisation(steps=steps, warm_up_steps=2, save_every=4, log_every=2, precision="32-true")
    return KeypointRecipe(
        **{"stacks": 2, "width": 8, "depth": 1, "crop": Crop(16, 24), "batch": 2, "optimisation": optimisation}
        | changes
    )


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    return write_figures(tmp_path_factory.mktemp("figures"), 12)


def trained(figures, folder, plan, **options):
    run = TrainingRun(folder, progress=False, places={figures[0]: "ANNOTATIONS", figures[1]: "IMAGES"}, **options)
    return train_keypoints(*figures, plan, run)


# ------------------------------------------------------------------------------------------- samples


def marked(folder, states=(VISIBLE, VISIBLE, VISIBLE)):
    """A person with joints drawn as smooth dots, red, green and blue, off the middle."""
    xy = np.array([[40.0, 22.0], [58.0, 44.0], [26.0, 52.0]])
    y, x = np.mgrid[:80, :90]
    dots = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / 18) for px, py in xy]
    write_image(folder / "dots.png", (255 * np.stack(dots, -1)).round().astype(np.uint8))
    return PersonAnnotation(
        1, ImageRef(folder / "dots.png"), (90, 80), np.array([15.0, 10, 70, 66]), xy, np.array(states, np.uint8)
    )


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    return marked(tmp_path_factory.mktemp("dots"))


@settings(max_examples=40)
@given(flip=st.booleans(), scale=st.floats(0.75, 1.25), rotation=st.floats(-0.6, 0.6))
def test_heatmaps_follow_the_augmented_image(dots, flip, scale, rotation):
    """Each dot lies at the peak of its joint's heatmap; a flip exchanges left and right."""
    codec = Heatmaps(Crop(64, 96))
    image, maps, weight = make_sample(dots, CropTransform(flip, scale, rotation), skeleton=ARMS, codec=codec)
    assert image.shape == (96, 64, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(weight, 1)
    xy, _ = codec.decode(maps)
    for joint, colour in enumerate((0, 2, 1) if flip else (0, 1, 2)):
        value = image[..., colour].astype(float)
        y, x = np.mgrid[:96, :64]
        centre = np.array([(value * x).sum(), (value * y).sum()]) / value.sum()
        np.testing.assert_allclose(xy[joint], centre, atol=0.35)


def test_a_crop_is_rotated_and_scaled_about_the_centre_of_the_box(tmp_path):
    codec = Heatmaps(Crop(64, 96))
    person = marked(tmp_path)

    def joints(transform):
        maps = make_sample(person, transform, skeleton=ARMS, codec=codec)[1]
        return codec.decode(maps)[0] - [31.5, 47.5]

    plain = joints(CropTransform())
    larger = joints(CropTransform(scale=1.2))
    rotated = joints(CropTransform(rotation=0.5))
    np.testing.assert_allclose(larger, 1.2 * plain, atol=0.02)
    cosine = np.cos(0.5)
    sine = np.sin(0.5)
    np.testing.assert_allclose(rotated, plain @ np.array([[cosine, -sine], [sine, cosine]]), atol=0.02)


def test_occluded_joints_have_zero_heatmaps_and_keep_their_side(tmp_path):
    codec = Heatmaps(Crop(64, 96))
    person = marked(tmp_path, (ABSENT, OCCLUDED, VISIBLE))
    for flip, (occluded, visible) in ((False, (1, 2)), (True, (2, 1))):
        _, maps, weight = make_sample(person, CropTransform(flip), skeleton=ARMS, codec=codec)
        assert weight.tolist() == [0, 1, 1]
        assert not maps[occluded].any() and maps[visible].max() > 0.8


def test_batches_depend_on_the_generator_alone(figures):
    data = load(*figures)
    plan = recipe(batch=6)

    def draw(threads, seed):
        return KeypointSampler(data, plan, threads=threads).draw(torch.Generator().manual_seed(seed))

    one = draw(1, 5)
    same = draw(3, 5)
    other = draw(3, 6)
    for name in ("images", "maps", "weight"):
        assert torch.equal(getattr(one, name), getattr(same, name))
    assert not torch.equal(one.images, other.images)
    assert one.images.shape == (6, 24, 16, 3) and one.images.dtype == torch.uint8
    assert one.maps.shape == (6, len(JOINTS), 6, 4) and one.maps.dtype == torch.float32


def test_the_augmentation_has_the_range_of_the_recipe(figures, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "occlupose.methods.oanet.keypoints.make_sample",
        lambda person, transform, **_: drawn.append(transform) or (np.zeros(1),) * 3,
    )
    KeypointSampler(load(*figures), recipe(batch=400, flip_probability=0.3, scale=0.2, rotation=45)).draw(
        torch.Generator().manual_seed(0)
    )
    scales = np.array([transform.scale for transform in drawn])
    angles = np.degrees([transform.rotation for transform in drawn])
    assert 0.8 <= scales.min() < 0.82 and 1.18 < scales.max() <= 1.2
    assert -45 <= angles.min() < -43 and 43 < angles.max() <= 45
    assert 0.22 < np.mean([transform.flip for transform in drawn]) < 0.38


# ---------------------------------------------------------------------------------------------- loss


def test_equation_1_by_hand():
    maps = torch.tensor([[[[0.5, 0.0]], [[0.2, 0.4]], [[1.0, 1.0]]]])
    truth = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]], [[0.0, 0.0]]]])
    assert heatmap_loss(maps, truth, torch.tensor([[1.0, 1.0, 0.0]])).item() == pytest.approx(
        (0.25 + 0 + 0.04 + 0.16) / 4
    )
    assert heatmap_loss(maps, truth, torch.zeros(1, 3)).item() == 0


def test_every_stack_has_its_term():
    truth = torch.rand(2, 3, 4, 4)
    weight = torch.tensor([[1.0, 0, 1], [1, 1, 1]])
    maps = torch.rand(3, 2, 3, 4, 4)
    terms = keypoint_loss(
        lambda images: maps, KeypointBatch(torch.zeros(2, 16, 16, 3, dtype=torch.uint8), truth, weight)
    )
    assert list(terms) == ["stack 1", "stack 2", "stack 3"]
    for number, term in enumerate(terms.values()):
        squared = (maps[number] - truth).square().mean((-2, -1))[weight > 0]
        torch.testing.assert_close(term, squared.mean())


def test_the_gradient_of_the_loss():
    generator = torch.Generator().manual_seed(0)
    maps, truth = torch.rand(2, 2, 3, 4, 5, dtype=torch.float64, generator=generator).unbind()
    weight = torch.tensor([[1.0, 0, 1], [1, 1, 0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda maps: heatmap_loss(maps, truth, weight), maps.requires_grad_())


def test_the_gradient_through_the_network():
    """Against finite differences, in random directions of all weights at once."""
    torch.manual_seed(0)
    network = StackedHourglass(3, stacks=2, width=4, depth=1).double().eval()
    images = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    batch = KeypointBatch(
        images,
        torch.rand(2, 3, 4, 4, dtype=torch.float64),
        torch.tensor([[1.0, 0, 1], [1, 1, 1]], dtype=torch.float64),
    )
    weights = list(network.parameters())

    def total():
        return torch.stack(list(keypoint_loss(network, batch).values())).sum()

    def moved(directions, step):
        with torch.no_grad():
            for value, direction in zip(weights, directions, strict=True):
                value += step * direction
            return total().item()

    total().backward()
    for _ in range(10):
        directions = [torch.randn_like(value) for value in weights]
        slope = (moved(directions, 1e-5) - moved(directions, -2e-5)) / 2e-5
        moved(directions, 1e-5)
        assert slope == pytest.approx(
            sum((value.grad * way).sum().item() for value, way in zip(weights, directions, strict=True)), rel=1e-4
        )


# -------------------------------------------------------------------------------------------- recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stacks": 0}, "stacks 0: must be 1 or more"),
        ({"width": 3}, "width 3: must be 4 or more"),
        ({"depth": 0}, "depth 0: must be 1 or more"),
        ({"batch": 0}, "batch 0: must be 1 or more"),
        ({"flip_probability": 1.5}, "flip_probability 1.5: must be between 0 and 1"),
        ({"scale": -0.1}, "scale -0.1: must be between 0 and 0.9"),
        ({"rotation": 200}, "rotation 200: must be between 0 and 180"),
        ({"crop": Crop(256, 192), "depth": 5}, "crop 256 x 192: at depth 5 its sides must be multiples of 128"),
    ],
)
def test_invalid_recipes_are_refused(change, message):
    with pytest.raises(OccluposeError) as refusal:
        KeypointRecipe(**change)
    assert str(refusal.value) == message


def test_the_default_recipe_is_that_of_newell():
    default = KeypointRecipe()
    assert (default.codec.shape, default.codec.sigma, default.depth, default.width) == ((64, 64), 2, 4, 256)


# ------------------------------------------------------------------------------------------ training


def test_training_writes_weights_that_run_and_their_card(figures, tmp_path, monkeypatch):
    words = [
        "train",
        "keypoints",
        f"--annotations={figures[0]}",
        "--images",
        str(figures[1]),
        "-o",
        str(tmp_path / "run"),
        "--batch",
        "2",
    ]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/occlupose", *words])
    path = trained(figures, tmp_path / "run", recipe(name="tiny"))
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "last.pt",
        "log.csv",
        "tiny.json",
        "tiny.safetensors",
    ]
    network = HourglassNetwork(path)
    assert network.skeleton == COCO17.subset(JOINTS) and network.crop == Crop(16, 24)
    xy, score = network(np.zeros((2, 24, 16, 3), np.uint8))
    assert xy.shape == (2, len(JOINTS), 2) and ((score > 0) & (score < 1)).all()
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["name"] == "tiny" and card["version"] == __version__
    assert card["parameters"] == sum(
        value.numel() for value in StackedHourglass(len(JOINTS), stacks=2, width=8, depth=1).parameters()
    )
    assert card["recipe"]["crop"] == {"width": 16, "height": 24, "padding": 1.25, "grid": "centres", "shift": 0}
    assert card["command"] == "occlupose train keypoints --annotations=ANNOTATIONS --images IMAGES -o FOLDER --batch 2"
    states = np.concatenate([person.state for person in load(*figures).people])
    joints = {"visible": int((states == 2).sum()), "occluded": int((states == 1).sum()), "absent": 0}
    assert joints["occluded"] > 0
    assert card["data"] | {"sha256": ""} == {
        "annotations": "figures.json",
        "sha256": "",
        "pictures": 12,
        "people": 12,
        "joints": joints,
    }
    assert str(tmp_path) not in path.with_suffix(".json").read_text()
    header, *rows = csv.reader((path.parent / "log.csv").open())
    assert header == ["step", "stack 1", "stack 2", "seconds"]
    assert [row[0] for row in rows] == ["2", "4"]


@pytest.fixture(scope="module")
def usual(figures, tmp_path_factory):
    """The weights file of the recipe."""
    return trained(figures, tmp_path_factory.mktemp("usual"), recipe()).read_bytes()


def test_the_same_recipe_gives_the_same_bytes(figures, usual, tmp_path):
    assert trained(figures, tmp_path, recipe()).read_bytes() == usual


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"rotation": 0.0}, {"flip_probability": 0.0}, {"depth": 2, "crop": Crop(16, 32)}]
)
def test_the_recipe_changes_the_result(figures, usual, tmp_path, change):
    assert trained(figures, tmp_path, recipe(**change)).read_bytes() != usual


def test_a_stopped_run_is_resumed_to_the_same_end(figures, tmp_path, monkeypatch):
    whole = trained(figures, tmp_path / "whole", recipe(8)).read_bytes()
    draw = KeypointSampler.draw
    left = iter(range(6))

    class Stopped(Exception):
        pass

    def stopping(samples, generator):
        if next(left, None) is None:
            raise Stopped
        return draw(samples, generator)

    monkeypatch.setattr(KeypointSampler, "draw", stopping)
    with pytest.raises(Stopped):
        trained(figures, tmp_path / "stopped", recipe(8))
    monkeypatch.setattr(KeypointSampler, "draw", draw)
    torch.manual_seed(99)
    with pytest.raises(OccluposeError, match="give --resume"):
        trained(figures, tmp_path / "stopped", recipe(8))
    assert trained(figures, tmp_path / "stopped", recipe(8), resume=True).read_bytes() == whole


def test_bad_data_is_refused_before_anything_is_written(figures, tmp_path):
    with pytest.raises(OccluposeError, match=r"0\.png: no such image"):
        trained((figures[0], tmp_path), tmp_path / "run", recipe())
    with pytest.raises(OccluposeError, match=r"none\.json: cannot be read"):
        trained((tmp_path / "none.json", figures[1]), tmp_path / "run", recipe())
    assert list(tmp_path.iterdir()) == []


def test_training_can_start_from_a_network_of_other_joints(figures, tmp_path):
    torch.manual_seed(3)
    given = StackedHourglass(3, width=8, depth=1)
    save(given.state_dict(), given, ARMS, Crop(16, 24), tmp_path / "arms.safetensors")
    still = Optimisation(steps=1, learning_rate=0.0, warm_up_steps=1, save_every=1, precision="32-true")
    begun, skeleton, _ = load_network(
        trained(figures, tmp_path / "run", recipe(optimisation=still), init_from=tmp_path / "arms.safetensors")
    )
    shared = [joint for joint in skeleton.joints if joint in ARMS.joints]
    assert shared and len(shared) < len(skeleton)
    weights = [network.stacks[0].maps.weight for network in (begun, given)]
    torch.testing.assert_close(weights[0][skeleton.index(*shared)], weights[1][ARMS.index(*shared)], atol=1e-3, rtol=0)
    torch.testing.assert_close(begun.stem[0].weight, given.stem[0].weight, atol=1e-3, rtol=0)
    with pytest.raises(OccluposeError, match=r"2 stacks, width 8, depth 1 instead of 1 stacks, width 8"):
        trained(figures, tmp_path / "other", recipe(stacks=1), init_from=tmp_path / "arms.safetensors")


def command_line(figures, folder, *more):
    """`recipe(STEPS)` as a command."""
    write(recipe(STEPS), folder.parent / "recipe.json")
    options = {
        "annotations": figures[0],
        "images": figures[1],
        "output": folder,
        "recipe": folder.parent / "recipe.json",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "occlupose", "train", "keypoints", *words, *more]


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_end(figures, tmp_path):
    kill_after(tmp_path / "killed" / "last.pt", command_line(figures, tmp_path / "killed"))
    assert 0 < torch.load(tmp_path / "killed" / "last.pt", weights_only=True)["step"] < STEPS
    printed = run_to_the_end(command_line(figures, tmp_path / "killed", "--resume"))
    assert "oanet_keypoints.safetensors: weights and card written" in printed
    trained(figures, tmp_path / "whole", recipe(STEPS))
    files = [(tmp_path / name / "oanet_keypoints.safetensors").read_bytes() for name in ("killed", "whole")]
    assert files[0] == files[1]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory) -> Path:
    """A network trained on 300 figures."""
    folder = tmp_path_factory.mktemp("learnt")
    optimisation = Optimisation(
        steps=220, learning_rate=4e-3, warm_up_steps=20, max_grad_norm=0.1, ema_decay=0.95, precision="32-true"
    )
    plan = KeypointRecipe(
        stacks=1, width=24, depth=3, crop=Crop(96, 96), batch=8, scale=0.15, rotation=10, optimisation=optimisation
    )
    return trained(write_figures(folder, 300), folder / "run", plan)


@pytest.mark.slow
def test_visible_joints_are_found_and_occluded_ones_have_a_low_confidence(learnt, tmp_path):
    """On unseen figures, in the boxes of a file. OANet takes joints with a confidence below 0.3 as occluded."""
    generator = np.random.default_rng(99)
    results = []
    truth = []
    annotations, images = write_figures(tmp_path, 60, seed=99)
    for annotation in json.loads(annotations.read_text())["annotations"]:
        results.append(
            {"image_id": f"{annotation['id']}.png", "category_id": 1, "bbox": annotation["bbox"], "score": 0.9}
        )
        truth.append(draw_figure(generator)[1:])
    (tmp_path / "boxes.json").write_text(json.dumps(results))
    with open_media(images) as source:
        frontend = build_frontend(learnt, boxes=load_boxes(tmp_path / "boxes.json", source))
        people = [frontend(frame) for frame in source]
    assert all(len(found) == 1 for found in people)
    xy = np.concatenate([found.xy for found in people])
    score = np.concatenate([found.score for found in people])
    state = np.array([state for _, state in truth])
    error = np.linalg.norm(xy - np.array([joints for joints, _ in truth]), axis=-1)
    ends = np.zeros(state.shape, bool)
    ends[:, ENDS] = True
    assert np.median(score[state == VISIBLE]) > 0.7
    assert np.median(error[state == VISIBLE]) < 1 and np.quantile(error[state == VISIBLE], 0.95) < 4
    assert np.median(score[(state == VISIBLE) & ends]) > 0.6  # the same joints are occluded in other figures
    assert (state == OCCLUDED).sum() > 20
    assert np.median(score[state == OCCLUDED]) < 0.1 and (score[state == OCCLUDED] < 0.3).mean() > 0.9
