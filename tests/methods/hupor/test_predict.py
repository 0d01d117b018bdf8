from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hupor_maps import FOCAL, exact_maps, random_people
from hupor_samples import DESIGN, WIDTHS
from occlupose.cameras import Camera
from occlupose.codecs.letterbox import Letterbox
from occlupose.codecs.multi_person import MultiPersonMaps
from occlupose.errors import OccluposeError
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.decode import DecodedPeople, decode
from occlupose.methods.hupor.losses import PoseMaps
from occlupose.methods.hupor.network import (
    IMAGE_HEAD,
    LIMB_DEPTH_HEAD,
    TORSO_DEPTH_HEAD,
    HUPORDesign,
    HUPORNetwork,
    stack_channels,
)
from occlupose.methods.hupor.predict import MIN_JOINTS, HUPOROutput, HUPORPredictor, load
from occlupose.methods.hupor.refine import RefineRecipe
from occlupose.skeletons import MPI15

SPACE = MultiPersonMaps(256, 160)
BOX = Letterbox()
PARTNERS = list(MPI15.mirror)
PELVIS = MPI15.index("pelvis")[0]


def hupor(design=DESIGN, **options):
    """Untrained; its maps are not faint, so that something is found."""
    torch.manual_seed(0)
    networks = HUPORNetwork(design)
    for name, parameter in networks.named_parameters():
        if "heads" in name and parameter.ndim == 1:
            nn.init.uniform_(parameter, 0.1, 0.5)
    return HUPORPredictor(weights.TrainedHUPOR(networks.eval()), **options)


def random_image(width=64, height=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# ---------------------------------------------------------------------------------------- geometry


def seen_people(seed, count=3):
    """People, their exact maps, and the image of 600 x 320 px that the input of 256 x 160
    shows.
    """
    random = np.random.default_rng(seed)
    xyz = random_people(random, count, SPACE)
    state = random.choice([1, 2], xyz.shape[:2], p=[0.3, 0.7])
    matrix = Letterbox(256, 160).matrix(600, 320)
    scale = 256 / 600
    camera = Camera(600, 320, FOCAL / scale, FOCAL / scale, 299.5, 159.5)
    return xyz, state, matrix, camera


def matched(found, truth):
    """Rows of what was found, in the order of the truth."""
    apart = np.linalg.norm(np.nan_to_num(found, nan=1e6)[None, :, PELVIS] - truth[:, None, PELVIS], axis=-1)
    assert sorted(apart.argmin(1)) == list(range(len(truth)))
    return apart.argmin(1)


def assert_found(found, xyz, state, camera):
    """Everybody, in pixels, in metres, and what is hidden of them."""
    assert len(found) == len(xyz)
    rows = matched(found.xy, camera.project(xyz))
    assert (found.state[rows] == state).mean() > 0.95
    there = found.state[rows] > 0
    off = np.linalg.norm(found.xy[rows] - camera.project(xyz), axis=-1)[there] * 256 / 600
    assert np.median(off) < 0.5 and np.quantile(off, 0.9) < 2
    away = np.linalg.norm(found.xyz[rows] - xyz, axis=-1)
    assert np.abs(found.xyz[rows, PELVIS, 2] / xyz[:, PELVIS, 2] - 1).max() < 0.05
    assert np.median(away[there]) < 0.1
    np.testing.assert_allclose(camera.project(found.xyz)[found.state > 0], found.xy[found.state > 0], atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_people_have_exact_keypoints_and_positions(seed):
    """From exact maps, in the image's pixels and with its camera."""
    xyz, state, matrix, camera = seen_people(seed)
    maps = exact_maps(xyz, state, SPACE)
    assert maps.metres_per_pixel == pytest.approx(1 / (camera.fx * np.hypot(*matrix[:, 0])))
    found = hupor()._place(decode(maps, SPACE), matrix, camera)
    assert_found(found, xyz, state, camera)
    assert found.score.min() >= 0 and found.score.max() <= 1


def test_joints_outside_of_the_image_are_absent():
    """Peaks may lie in the grey padding around an image of another aspect ratio."""
    xyz, state, _, _ = seen_people(2, count=1)
    decoded = decode(exact_maps(xyz, state, SPACE), SPACE)
    left, right = np.quantile(decoded.xy[0, :, 0], [0.3, 0.8])
    matrix = np.array([[1.0, 0, left], [0, 1, 0]])
    camera = Camera(int(right - left), 160, FOCAL, FOCAL, 10.0, 79.5)
    found = hupor()._place(decoded, matrix, camera)
    x = decoded.xy[0, :, 0] - left
    outside = (x <= -0.5) | (x >= camera.width - 0.5)
    assert len(found) == 1 and 3 < outside.sum() < 11
    assert (
        ((found.state[0] == 0) == outside).all()
        and np.isnan(found.xyz[0, outside]).all()
        and (found.score[0, outside] == 0).all()
    )
    narrow = Camera(1, 160, FOCAL, FOCAL, 0.0, 79.5)
    assert (narrow.width - 0.5 < x[(x > -0.5)]).sum() > 15 - MIN_JOINTS - outside.sum() and len(
        hupor()._place(decoded, matrix, narrow)
    ) == 0


def heads_of(networks, maps):
    """Heads with these maps at every level."""

    def tensor(values):
        return torch.from_numpy(values)[None].float()

    hidden = maps.heatmaps - maps.visible
    visible = stack_channels(PoseMaps(tensor(maps.visible), tensor(maps.fields)))
    level = {IMAGE_HEAD: visible[:, :43], LIMB_DEPTH_HEAD: visible[:, 43:], TORSO_DEPTH_HEAD: tensor(maps.depths)}
    return [[level] * 4], PoseMaps(tensor(hidden), torch.zeros(1, 14, 3, *SPACE.shape))


def test_from_the_networks_last_layers_on_nothing_is_lost(monkeypatch):
    """Exact heads for images of another aspect ratio than the input, with the image's camera."""
    xyz, state, _, camera = seen_people(1)
    predictor = hupor(HUPORDesign(256, 160, stages=1, size=WIDTHS, reasoner_stages=1, reasoner_size=WIDTHS))
    heads, hidden = heads_of(predictor.networks, exact_maps(xyz, state, SPACE))
    monkeypatch.setattr(predictor.networks, "detect", lambda images: heads)
    monkeypatch.setattr(predictor.networks, "hidden_maps", lambda visible, images: hidden)
    found = predictor(random_image(600, 320), camera)
    assert_found(found, xyz, state, camera)
    assumed = predictor(random_image(600, 320))
    np.testing.assert_allclose(assumed.xy, found.xy)
    focal = Camera.from_fov(600, 320).fx
    ratio = assumed.xyz[..., 2][found.state > 0] / found.xyz[..., 2][found.state > 0]
    assert np.median(ratio) == pytest.approx(focal / camera.fx, rel=0.05)  # a longer lens, and they are farther away


def decoded(count, state=2, z=4.0):
    xy = np.random.default_rng(0).uniform(10, 150, (count, 15, 2))
    return DecodedPeople(xy, np.full((count, 15), z), np.full((count, 15), 1.7), np.full((count, 15), state, np.uint8))


def placed(given, camera=None, **options):
    camera = camera or Camera(256, 160, FOCAL, FOCAL, 127.5, 79.5)
    return hupor(**options)._place(given, np.eye(3)[:2], camera)


def test_absent_joints_are_nowhere_and_scores_are_shares():
    given = decoded(2)
    given.state[0, 5] = 0
    given.state[1, 3] = 1
    given.score[0, 5] = 0
    found = placed(given)
    assert np.isnan(found.xy[0, 5]).all() and np.isnan(found.xyz[0, 5]).all() and found.score[0, 5] == 0
    there = found.state > 0
    assert there.sum() == 29 and np.isfinite(found.xy[there]).all() and np.isfinite(found.xyz[there]).all()
    assert found.state[1, 3] == 1 and (found.score[there] == 1).all()


def test_people_with_too_few_joints_are_dropped():
    given = decoded(3)
    given.state[0, MIN_JOINTS:] = 0
    given.state[1, MIN_JOINTS - 1 :] = 0
    found = placed(given)
    assert MIN_JOINTS == 4 and (found.state > 0).sum(1).tolist() == [4, 15]


def test_people_behind_the_camera_have_keypoints_only():
    given = decoded(2)
    given.z[1] = -1.0
    given.z[0, 4] = np.nan
    found = placed(given)
    assert np.isfinite(found.xy).all() and (found.state == 2).all()
    assert np.isnan(found.xyz[1]).all() and np.isnan(found.xyz[0, 4]).all()
    assert np.isfinite(found.xyz[0, [joint for joint in range(15) if joint != 4]]).all()


def seen_of(decoder_input, size):
    """The output of networks for an image of this size."""

    def maps(heatmaps, fields):
        return PoseMaps(torch.from_numpy(heatmaps)[None], torch.from_numpy(fields)[None])

    parts = (
        maps(decoder_input.visible, decoder_input.fields),
        maps(decoder_input.heatmaps - decoder_input.visible, 0 * decoder_input.fields),
        maps(decoder_input.heatmaps, decoder_input.fields),
    )
    return HUPOROutput(
        np.zeros((512, 832, 3), np.uint8), BOX.matrix(*size), *parts, torch.from_numpy(decoder_input.depths)[None]
    )


def asked_of(people, states, size):
    """Who is found, by the rules that are used by themselves, of maps without a mistake; and the camera."""
    scale = BOX.scale(*size)
    camera = Camera(*size, FOCAL / scale, FOCAL / scale, (size[0] - 1) / 2, (size[1] - 1) / 2)
    predictor = hupor(HUPORDesign(stages=1, size=WIDTHS, reasoner_stages=1, reasoner_size=WIDTHS))
    found = predictor.decode_people(seen_of(exact_maps(people, states, predictor.codec), size), camera)
    there = found.state > 0
    assert (np.isfinite(found.xy).all(-1) == there).all() and not np.isfinite(found.xyz[~there]).any()
    assert (found.xy[there] > -0.5).all() and (found.xy[there] < np.array(size) - 0.5).all()
    return found, camera


@pytest.mark.parametrize("size", [(20_000, 60), (40, 20_000)])
def test_very_wide_and_very_high_images(size):
    """Three, lying one after the other, whose joints are 10 px of the input apart, none on the border between cells;
    across, the image has 1 or 2 px of the input."""
    along = int(np.argmax(size))
    xyz = np.full((3, 15, 3), 5.0)
    steps = 10 * (np.arange(45.0).reshape(3, 15) - 22) + 0.25
    xyz[..., 1 - along] = 0.25 * 5 / FOCAL
    xyz[..., along] = steps * 5 / FOCAL
    states = np.random.default_rng(0).choice([1, 2], (3, 15))
    states[:, PELVIS] = 2
    found, camera = asked_of(xyz, states, size)
    assert len(found) == 3
    rows = matched(found.xy, camera.project(xyz))
    np.testing.assert_array_equal(found.state[rows], states)
    np.testing.assert_allclose(found.xy[rows], camera.project(xyz), atol=0.5 / BOX.scale(*size))
    np.testing.assert_allclose(found.xyz[rows, :, 2], 5, atol=0.05)


def test_an_image_of_one_pixel():
    assert len(asked_of(np.zeros((0, 15, 3)), np.zeros((0, 15), np.uint8), (1, 1))[0]) == 0
    people = random_people(np.random.default_rng(2), 8)
    found, camera = asked_of(people, np.full((8, 15), 2, np.uint8), (1, 1))
    inside = (np.abs(camera.project(people)) < 0.5).all(-1)
    assert 0 < inside.sum() < inside.size
    assert 0 < len(found) <= 8 and (found.state > 0).sum() <= inside.sum()


def test_sixty_people_are_as_many_as_their_pelvises():
    """Another person has all joints at the same pixels as one of them."""
    random = np.random.default_rng(0)
    people = random_people(random, 60)
    states = random.choice([1, 2], (61, 15), p=[0.4, 0.6])
    states[:, PELVIS] = 2
    found, camera = asked_of(np.concatenate([people, 1.5 * people[:1]]), states, (1664, 1024))
    assert len(found) == 60
    rows = matched(found.xy, camera.project(people))
    np.testing.assert_allclose(found.xy[rows, PELVIS], camera.project(people)[:, PELVIS], atol=1)
    np.testing.assert_allclose(found.xyz[rows[1:], PELVIS, 2], people[1:, PELVIS, 2], atol=0.01)


class ConstantRefiner(nn.Module):
    """A refiner with a constant output relative to the pelvis."""

    def __init__(self, places):
        super().__init__()
        self.places = nn.Parameter(torch.tensor(places, dtype=torch.float32))

    def forward(self, given):
        return self.places.expand(len(given), -1, -1)


def test_a_refiner_predicts_joints_that_were_not_detected():
    """Occluded, with no score, where it puts them; but absent where that is beyond the image. What was found stays at
    its pixel.
    """
    camera = Camera(256, 160, FOCAL, FOCAL, 127.5, 79.5)
    places = np.random.default_rng(0).uniform(-0.2, 0.2, (15, 3))
    places[7] = [30.0, 0, 0]
    given = decoded(1)
    given.xy[0, PELVIS] = [120, 80]
    for joint in (4, 7):
        given.state[0, joint] = 0
        given.score[0, joint] = 0
        given.xy[0, joint] = np.nan
        given.z[0, joint] = np.nan
    refined = HUPORPredictor(weights.TrainedHUPOR(HUPORNetwork(DESIGN).eval(), ConstantRefiner(places), RefineRecipe()))
    found = refined._place(given, np.eye(3)[:2], camera)
    pelvis = camera.back_project(np.array([120.0, 80]), 4.0)
    assert found.state[0, [4, 7]].tolist() == [1, 0] and found.score[0, 4] == 0
    np.testing.assert_allclose(found.xyz[0, 4], pelvis + places[4], atol=1e-5)
    np.testing.assert_allclose(found.xy[0, 4], camera.project(found.xyz[0, 4]), atol=1e-3)
    assert np.isnan(found.xy[0, 7]).all() and np.isnan(found.xyz[0, 7]).all()
    others = [joint for joint in range(15) if joint not in (4, 7, PELVIS)]
    np.testing.assert_allclose(found.xy[0, others], given.xy[0, others])
    np.testing.assert_allclose(found.xyz[0, others, 2], 4 + places[others, 2], atol=1e-5)
    np.testing.assert_allclose(found.xyz[0, PELVIS], pelvis)


# ---------------------------------------------------------------------------------------- networks


def test_no_people_give_empty_arrays():
    predictor = hupor()
    for name, parameter in predictor.networks.named_parameters():
        if "heads" in name and parameter.ndim == 1:
            nn.init.zeros_(parameter)
    found = predictor(random_image())
    assert len(found) == 0
    assert (found.xy.shape, found.xyz.shape, found.score.shape, found.state.shape) == (
        (0, 15, 2),
        (0, 15, 3),
        (0, 15),
        (0, 15),
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64), (640, 479)])
def test_images_of_any_size(size):
    predictor = hupor()
    seen = predictor.predict_maps(random_image(*size))
    assert seen.input.shape == (64, 64, 3)
    assert seen.combined.heatmaps.shape == (1, 15, 16, 16) and seen.depths.shape == (1, 7, 16, 16)
    np.testing.assert_allclose(seen.matrix, Letterbox(64, 64).matrix(*size))
    predictor(random_image(*size))


def test_combined_maps_are_the_sum_of_visible_and_hidden():
    for flip in (False, True):
        seen = hupor(flip=flip).predict_maps(random_image())
        assert seen.hidden.heatmaps.any()
        torch.testing.assert_close(seen.combined.heatmaps, seen.visible.heatmaps + seen.hidden.heatmaps)
        torch.testing.assert_close(seen.combined.fields, seen.visible.fields + seen.hidden.fields)


def mirrored(maps):
    """Heatmaps and vectors of the mirrored image."""
    limbs = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10]
    return maps.heatmaps[:, PARTNERS].flip(-1), maps.fields[:, limbs, :2].flip(-1) * torch.tensor([-1.0, 1])[
        :, None, None
    ]


def test_with_flip_a_mirrored_image_has_mirrored_maps():
    """A symmetric image has symmetric maps; without flip it does not."""
    image = random_image()
    symmetric = np.concatenate([image[:, :32], image[:, :32][:, ::-1]], 1)
    for one, other, alike in (
        (image, image[:, ::-1].copy(), True),
        (symmetric, symmetric, True),
        (image, image[:, ::-1].copy(), False),
    ):
        predictor = hupor(flip=alike)
        seen = predictor.predict_maps(one)
        turned = predictor.predict_maps(other)
        for name in ("visible", "hidden", "combined"):
            heatmaps, vectors = mirrored(getattr(turned, name))
            same = [
                (heatmaps - getattr(seen, name).heatmaps).abs().max(),
                (vectors - getattr(seen, name).fields[:, :, :2]).abs().max(),
            ]
            assert (max(same).item() < 1e-4) is alike, name


def test_flip_averages_the_maps_of_image_and_mirror_image():
    """Maps are averaged; depths are those of the image itself."""
    image = random_image()
    plain = hupor().predict_maps(image)
    other = hupor().predict_maps(image[:, ::-1].copy())
    both = hupor(flip=True).predict_maps(image)
    heatmaps, vectors = mirrored(other.visible)
    torch.testing.assert_close(both.visible.heatmaps, (plain.visible.heatmaps + heatmaps) / 2)
    torch.testing.assert_close(both.visible.fields[:, :, :2], (plain.visible.fields[:, :, :2] + vectors) / 2)
    torch.testing.assert_close(both.visible.fields[:, :, 2], plain.visible.fields[:, :, 2])
    torch.testing.assert_close(both.depths, plain.depths)


def test_a_camera_of_another_image_size_is_refused():
    with pytest.raises(OccluposeError, match="camera: for images of 640 x 480, not 64 x 64; give the camera of these"):
        hupor()(random_image(), Camera.from_fov(640, 480))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    "layer",
    ["detector.stem.0.0", "detector.upsamplers.1.levels.2.heads.flat.1", "reasoner.students.0.levels.1.0.conv2"],
)
def test_weights_that_are_no_numbers_are_named(layer, flip):
    predictor = hupor(flip=flip, name="broken.safetensors")
    predictor.networks.get_submodule(layer).weight.data[0] = torch.nan
    with pytest.raises(
        OccluposeError, match=rf"^broken\.safetensors: the output of layer {layer} is not a number; give other weights$"
    ):
        predictor(random_image())
    assert not any(part._forward_hooks for part in predictor.networks.modules())


def test_a_file_is_used_as_it_was_trained(tmp_path):
    made = hupor(replace(DESIGN, stages=1))
    weights.save(weights.TrainedHUPOR(made.networks), path := tmp_path / "mine.safetensors")
    again = load(path, flip=True)
    assert (again.name, again.flip, again.codec) == ("mine.safetensors", True, MultiPersonMaps(64, 64))
    one = hupor(replace(DESIGN, stages=1), flip=True).predict_maps(random_image())
    other = again.predict_maps(random_image())
    assert (one.combined.heatmaps - other.combined.heatmaps).abs().max() < 0.02 * one.combined.heatmaps.abs().max()
    with pytest.raises(OccluposeError, match="device abacus: torch cannot use it here"):
        load(path, device="abacus")
    with pytest.raises(OccluposeError, match=r"nowhere\.safetensors: no such file"):
        load(tmp_path / "nowhere.safetensors")


def test_the_same_image_gives_the_same_people():
    predictor = hupor()
    one = predictor(random_image())
    other = predictor(random_image())
    for name in ("xy", "xyz", "score", "state"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
