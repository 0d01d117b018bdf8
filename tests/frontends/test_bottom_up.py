from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bottom_up_networks import SIZE, build, images
from composite_fields import batch_of, perfect_fields
from occlupose.codecs.multi_person import PeopleBatch, maps_in_2d
from occlupose.errors import OccluposeError
from occlupose.frontends import bottom_up, build_frontend, check_options, is_bottom_up_file, load_crop_network
from occlupose.frontends.bottom_up import BottomUpFrontend, ImageMaps, input_of, place_connected, place_tagged
from occlupose.media import Frame
from occlupose.networks.bottom_up import BottomUpDesign, BottomUpNetwork, save
from occlupose.networks.higher_hrnet import HigherHRNetMaps
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.pyramid import Pyramid
from occlupose.skeletons import COCO17, CROWDPOSE14
from tagged_people import SHAPE, perfect_heatmaps, perfect_tags, random_people, random_tags

EACH_JOINT = [(skeleton, joint) for skeleton in (COCO17, CROWDPOSE14) for joint in range(len(skeleton))]

STILL = np.array([[1.0, 0, 0], [0, 1, 0]])
"""Maps in the size of the image."""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    save(build(), path)
    return path


def picture(width=96, height=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def maps_of(people, state, tags, matrix=STILL):
    """The maps of a perfect base and a perfect reasoner. Tags are known of all annotated joints."""

    def only(wanted):
        return perfect_heatmaps(np.where((state == wanted)[..., None], people, np.nan))

    present = np.where((state != ABSENT)[..., None], people, np.nan)
    return ImageMaps(only(VISIBLE), only(OCCLUDED), perfect_tags(present, tags), matrix)


def nearest(found, people):
    """Which of the people found has the joints of each of these."""
    return [np.nanargmin(np.abs(found.xy - person).max(-1).mean(-1)) for person in people]


# ------------------------------------------------------------------------------- from maps to people


@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14], ids=lambda skeleton: skeleton.name)
def test_every_joint_hidden_in_turn_is_recovered(skeleton):
    """With the maps of a perfect reasoner: in its place, of its person, as occluded; all others are visible."""
    random = np.random.default_rng(0)
    people = random_people(random, 4, len(skeleton), apart=12)  # their maps do not overlap
    tags = random_tags(random, 4)
    for person in range(4):
        for joint in range(len(skeleton)):
            state = np.full((4, len(skeleton)), VISIBLE)
            state[person, joint] = OCCLUDED
            found = place_tagged(maps_of(people, state, tags), skeleton)
            assert len(found) == 4
            who = nearest(found, people)
            assert sorted(who) == [0, 1, 2, 3]
            assert np.abs(found.xy[who] - people).max() <= 0.26
            np.testing.assert_array_equal(found.state[who], state)
            seen = found.state == VISIBLE
            assert found.score[who[person], joint] < 0.1 and found.score[seen].min() > 0.8
            assert found.box_score.min() > 0.8


def test_without_a_reasoner_hidden_joints_are_absent():
    """They lie in the middle of the others, with no score."""
    random = np.random.default_rng(1)
    people = random_people(random, 3, 17)
    state = random.choice([ABSENT, OCCLUDED, VISIBLE], (3, 17), p=[0.1, 0.3, 0.6])
    maps = maps_of(people, state, random_tags(random, 3))
    bare = ImageMaps(maps.visible, np.zeros_like(maps.hidden), maps.tags, STILL)
    found = place_tagged(bare, COCO17)
    for person, row in enumerate(nearest(found, people)):
        seen = state[person] == VISIBLE
        np.testing.assert_array_equal(found.state[row] == VISIBLE, seen)
        assert (found.state[row, ~seen] == ABSENT).all() and not found.score[row, ~seen].any()
        middle = found.xy[row, seen].mean(0)
        np.testing.assert_allclose(found.xy[row, ~seen], np.broadcast_to(middle, (17 - seen.sum(), 2)), atol=1e-4)
    assert np.isfinite(found.xy).all()


def test_a_person_of_hidden_joints_alone():
    random = np.random.default_rng(2)
    people = random_people(random, 1, 17)
    state = np.full((1, 17), OCCLUDED)
    found = place_tagged(maps_of(people, state, [1.5]), COCO17)
    assert len(found) == 1 and (found.state == OCCLUDED).all() and not found.score.any()


def test_places_in_the_image():
    """The matrix leads from the image to the maps."""
    random = np.random.default_rng(3)
    people = random_people(random, 2, 17)
    matrix = np.array([[0.5, 0, -3.0], [0, 0.5, 7.0]])
    found = place_tagged(maps_of(people, np.full((2, 17), VISIBLE), [2.0, -2.0], matrix), COCO17)
    expected = (people - [-3, 7]) / 0.5
    assert np.abs(found.xy[nearest(found, expected)] - expected).max() <= 0.52


def test_nobody_and_people_of_one_joint():
    dark = np.zeros((17, *SHAPE))
    tags = np.zeros((17, *SHAPE, 1))
    assert len(place_tagged(ImageMaps(dark, dark, tags, STILL), COCO17)) == 0
    dark[3, 20, 20] = 1
    assert len(place_tagged(ImageMaps(dark, np.zeros_like(dark), tags, STILL), COCO17)) == 0


@pytest.mark.parametrize("name", ["visible", "hidden", "tags"])
def test_maps_that_are_not_numbers_are_refused_in_one_line(name):
    given = {"visible": np.zeros((17, 8, 8)), "hidden": np.zeros((17, 8, 8)), "tags": np.zeros((17, 8, 8, 1))}
    given[name][4] = np.nan
    with pytest.raises(OccluposeError, match=f"^{name}: some of these maps are not numbers; [^\n]*$"):
        place_tagged(ImageMaps(**given, matrix=STILL), COCO17)


# ------------------------------------------------------------------------------- from images to maps


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 480), (704, 512)), ((480, 640), (512, 704)), ((300, 300), (512, 512)), ((4000, 100), (2048, 512))],
)
def test_the_shorter_side_has_the_side_of_training(size, expected):
    """The longer one is a multiple of 64, and not without end."""
    box = input_of(size, 512)
    assert (box.width, box.height) == expected


def test_maps_are_those_of_the_network(file, monkeypatch):
    """In float32, also where the processor has bf16."""
    monkeypatch.setattr(bottom_up, "bf16_is_native", lambda kind: False)
    frontend = BottomUpFrontend(file)
    maps = frontend.predict_maps(Pyramid(picture()))
    assert maps.visible.shape == maps.hidden.shape == (17, 64, 128) and maps.tags.shape == (17, 64, 128, 1)
    box = input_of((96, 64), 64)
    image = box.warp(Pyramid(picture()), box.matrix(96, 64))
    with torch.inference_mode():
        expected = frontend.network(torch.from_numpy(image)[None])
    np.testing.assert_allclose(maps.visible, expected.visible[0], atol=1e-5)
    np.testing.assert_allclose(maps.tags[..., 0], expected.tags[0], atol=1e-5)


def painted(images):
    """Heatmaps that follow the image itself: dark and light, and its red as tags. They move with the image."""
    grey = images.float().mean(-1)[:, None] / 255
    return grey.expand(-1, 17, -1, -1).clone(), images[..., 0].float()[:, None].expand(-1, 17, -1, -1).clone()


@pytest.fixture
def painting(file, monkeypatch):
    """A front end whose network paints: the hidden maps are a tenth of the visible ones."""

    def make(**options):
        frontend = BottomUpFrontend(file, **options)

        def run(images):
            frontend.sizes.append(tuple(images.shape[1:3]))
            heat, tags = painted(images)
            return type(real(images))(heat, heat / 10, tags)

        real = frontend._run
        frontend.sizes = []
        monkeypatch.setattr(frontend, "_run", run)
        return frontend

    return make


def smooth(width, height):
    """An image without edges, so that its size hardly matters."""
    y, x = np.mgrid[:height, :width]
    wave = np.sin(4 * x / width + 1) + np.cos(3 * y / height)
    return np.repeat((127 + 60 * wave)[..., None], 3, -1).astype(np.uint8)


def test_maps_of_several_scales_are_averaged_where_they_belong(painting):
    """Heatmaps of 0.5, 1 and 2 agree in place with those of 1; tags are those of 1."""
    image = Pyramid(smooth(120, 80))
    one = painting().predict_maps(image)
    frontend = painting(scales=(0.5, 1.0, 2.0))
    several = frontend.predict_maps(image)
    assert frontend.sizes == [(32, 64), (64, 128), (128, 256)]
    inner = np.s_[:, 4:-4, 20:-20]  # without the grey border
    np.testing.assert_allclose(several.visible[inner], one.visible[inner], atol=0.02)
    assert np.abs(several.visible[inner] - np.roll(one.visible, 2, 2)[inner]).max() > 0.02
    np.testing.assert_array_equal(several.tags, one.tags)
    np.testing.assert_allclose(several.hidden, several.visible / 10, atol=1e-6)
    np.testing.assert_array_equal(several.matrix, one.matrix)


def test_the_mean_is_over_all_scales(painting):
    parts = [painting(scales=(scale,)).predict_maps(Pyramid(picture())).visible for scale in (1.0, 2.0)]
    both = painting(scales=(1.0, 2.0)).predict_maps(Pyramid(picture())).visible
    np.testing.assert_allclose(both, (parts[0] + parts[1]) / 2, atol=1e-6)


def test_a_mirror_image_is_mirrored_back(painting):
    """A network that mirrors gives the same heatmaps, and every tag twice."""
    plain = painting().predict_maps(Pyramid(picture()))
    flipped = painting(flip=True).predict_maps(Pyramid(picture()))
    np.testing.assert_allclose(flipped.visible, plain.visible, atol=1e-6)
    assert flipped.tags.shape == (17, 64, 128, 2)
    np.testing.assert_array_equal(flipped.tags[..., 0], flipped.tags[..., 1])


def test_mirrored_maps_have_left_and_right_exchanged(file):
    frontend = BottomUpFrontend(file, flip=True)
    image = picture()
    one = frontend.predict_maps(Pyramid(image))
    other = frontend.predict_maps(Pyramid(np.ascontiguousarray(image[:, ::-1])))
    partners = list(COCO17.mirror)
    np.testing.assert_allclose(other.visible[partners][..., ::-1], one.visible, atol=1e-4)
    np.testing.assert_allclose(other.tags[partners][:, :, ::-1, ::-1], one.tags, atol=1e-4)


def test_a_frame_becomes_people_in_its_pixels(file):
    frontend = build_frontend(file)
    assert isinstance(frontend, BottomUpFrontend) and frontend.skeleton == COCO17
    people = frontend(Frame(0, 0.0, picture(150, 100)))
    assert np.isfinite(people.xy).all() and people.score.min(initial=0) >= 0 and people.score.max(initial=0) <= 1
    frontend.reset()
    again = frontend(Frame(1, 0.0, picture(150, 100)))
    np.testing.assert_array_equal(people.xy, again.xy)


class PerfectReasoner(nn.Module):
    """The same output for every image."""

    def __init__(self, hidden):
        super().__init__()
        self.hidden = hidden

    def forward(self, visible, images):
        return [[self.hidden] * 4]


@pytest.mark.parametrize(("skeleton", "joint"), EACH_JOINT)
def test_hidden_joints_of_a_perfect_base_and_a_perfect_reasoner(skeleton, joint):
    """From the maps of two resolutions and those of hidden joints at a quarter: in the pixels of the image."""
    network = build(skeleton=skeleton.name)
    side = 256
    joints = len(skeleton)
    coarse = maps_in_2d(skeleton, side, side, 4)
    fine = maps_in_2d(skeleton, side, side, 2)
    random = np.random.default_rng(joint)
    xy = 4 * random_people(random, 3, joints, (64, 64), apart=7) + 1.5
    state = np.full((3, joints), VISIBLE)
    state[1, joint] = OCCLUDED
    people = PeopleBatch(*(torch.from_numpy(part)[None] for part in (xy, np.zeros((3, joints)), state)), torch.ones(1))
    tags = torch.from_numpy(perfect_tags((xy - 1.5) / 4, [-3.0, 0, 3.0], (64, 64), 4))[None, ..., 0]
    visible = tuple(codec.heatmaps(people, "visible", 1).float() for codec in (coarse, fine))
    fields = coarse.fields(people, "visible", 4).flatten(1, 2).float()
    network.detect = lambda images: HigherHRNetMaps(visible, tags, (fields,))
    hidden = [coarse.heatmaps(people, "hidden", 4), coarse.fields(people, "hidden", 4).flatten(1, 2)]
    network.reasoner = PerfectReasoner(torch.cat(hidden, 1).float())
    maps = network(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    tag = maps.tags[0, ..., None].numpy()
    found = place_tagged(ImageMaps(maps.visible[0].numpy(), maps.hidden[0].numpy(), tag, STILL), skeleton)
    assert len(found) == 3
    who = nearest(found, xy)
    assert np.linalg.norm(found.xy[who] - xy, axis=-1).max() <= 1.5
    np.testing.assert_array_equal(found.state[who], state)


# ----------------------------------------------------------------------------------------- PifPaf


@pytest.fixture(scope="module")
def pifpaf(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "pifpaf.safetensors"
    save(build(base="pifpaf_small"), path)
    return path


@pytest.mark.parametrize(("skeleton", "joint"), EACH_JOINT)
def test_hidden_joints_of_a_perfect_pifpaf_and_a_perfect_reasoner(skeleton, joint):
    """Each in turn: from composite fields of visible joints and limbs, and maps of hidden ones."""
    network = build(base="pifpaf_small", skeleton=skeleton.name)
    side = 256
    joints = len(skeleton)
    maps, fields = replace(network.design, side=side).codecs
    random = np.random.default_rng(joint)
    halves = [random_people(random, 1, joints, (32, 16)) + np.array([left, 0]) for left in (0, 16)]  # side by side
    xy = 8 * np.concatenate(halves) + 3.5
    state = np.full((2, joints), VISIBLE)
    state[1, joint] = OCCLUDED
    people = batch_of(xy, state)
    network.detect = lambda images: perfect_fields(people, fields)
    hidden = [maps.heatmaps(people, "hidden", 4), maps.fields(people, "hidden", 4).flatten(1, 2)]
    network.reasoner = PerfectReasoner(torch.cat(hidden, 1).float())
    output = network(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    found = place_connected(output, maps, STILL)
    who = nearest(found, xy)
    assert len(found) == 2 and np.linalg.norm(found.xy[who] - xy, axis=-1).max() <= 3
    np.testing.assert_array_equal(found.state[who], state)


FIELDS = [(kind, part) for kind in ("joints", "limbs") for part in ("confidence", "offset", "scale", "spread")]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("kind", "part"), FIELDS)
def test_composite_fields_that_are_not_numbers_are_refused_in_one_line(kind, part, value):
    network = build(base="pifpaf_small")
    maps, fields = network.design.codecs
    perfect = perfect_fields(batch_of(np.full((1, 17, 2), 20.0), np.full((1, 17), VISIBLE)), fields)
    getattr(getattr(perfect, kind), part)[0, 3] = value
    network.detect = lambda images: perfect
    network.reasoner = PerfectReasoner(torch.zeros(1, 17 + 2 * 19, 16, 16))
    output = network(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    with pytest.raises(OccluposeError, match=r"^[a-z ]+: some of these maps are not numbers; [^\n]*$"):
        place_connected(output, maps, STILL)


@pytest.mark.parametrize("name", ["visible", "hidden", "fields"])
@pytest.mark.parametrize("base", ["pifpaf_small", "hupor_small"])
def test_connected_maps_that_are_not_numbers_are_refused_in_one_line(base, name):
    network = build(base=base).requires_grad_(False)
    maps = network(images(1))
    getattr(maps, name)[0, 3] = np.nan
    with pytest.raises(OccluposeError, match=f"^({name}|heatmaps): some of these maps are not numbers; [^\n]*$"):
        place_connected(maps, network.design.codecs[0], STILL)


def test_votes_of_limbs_are_their_confident_cells():
    """By plain loops, of random fields: in cells of the maps, which are half as wide."""
    network = build(base="pifpaf_small").requires_grad_(False)
    maps = network(images(1))
    fields = maps.composite.limbs
    fields.confidence = 2 * torch.randn(fields.confidence.shape, generator=torch.Generator().manual_seed(0)) - 2
    for limb, found in enumerate(bottom_up._votes(maps)):
        expected = []
        for y in range(8):
            for x in range(8):
                confidence = 1 / (1 + np.exp(-fields.confidence[0, limb, y, x].item()))
                if confidence > 0.1:
                    offset = fields.offset[0, limb, :, :, y, x].numpy()
                    ends = 2 * (offset + np.array([x + 0.5, y + 0.5])) - 0.5
                    expected.append((confidence, ends, 2 * np.exp(fields.spread[0, limb, :, y, x].numpy())))
        assert len(expected) == len(found.confidence) > 0
        for number, (confidence, ends, spread) in enumerate(expected):
            assert found.confidence[number] == pytest.approx(confidence, rel=1e-5)
            np.testing.assert_allclose(found.ends[number], ends, atol=1e-4)
            np.testing.assert_allclose(found.spread[number], spread, rtol=1e-5)


def test_pifpaf_finds_people_in_frames(pifpaf):
    frontend = build_frontend(pifpaf)
    people = frontend(Frame(0, 0.0, picture(150, 100)))
    assert people.skeleton == COCO17 and np.isfinite(people.xy).all()


# ------------------------------------------------------------------------------------ HUPOR in 2D


@pytest.fixture(scope="module")
def hupor(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "hupor.safetensors"
    save(build(base="hupor_small"), path)
    return path


def detected(people, codec):
    """What a perfect detector says, at every level."""
    maps = torch.cat([codec.heatmaps(people, "visible", 4), codec.fields(people, "visible", 4).flatten(1, 2)], 1)
    return [[{"maps": maps.float()}] * 4]


def person_of_long_limbs(random, shape, skeleton):
    """(1, joint, 2), cells: fields of shorter limbs have no direction."""
    while True:
        person = random_people(random, 1, len(skeleton), shape)
        ends = [person[0, list(skeleton.index(*limb))] for limb in skeleton.limbs]
        if min(np.linalg.norm(start - stop) for start, stop in ends) > 5:
            return person


@pytest.mark.parametrize(("skeleton", "joint"), EACH_JOINT)
def test_hidden_joints_of_a_perfect_detector_and_a_perfect_reasoner(skeleton, joint):
    """Each in turn, of people side by side, by part affinity fields alone."""
    network = build(base="hupor_small", skeleton=skeleton.name)
    side = 256
    joints = len(skeleton)
    codec = replace(network.design, side=side).codecs[0]
    random = np.random.default_rng(joint)
    halves = [person_of_long_limbs(random, (64, 28), skeleton) + np.array([left, 0]) for left in (0, 36)]
    xy = 4 * np.concatenate(halves) + 1.5
    state = np.full((2, joints), VISIBLE)
    state[1, joint] = OCCLUDED
    people = batch_of(xy, state)
    network.detect = lambda images: detected(people, codec)
    hidden = [codec.heatmaps(people, "hidden", 4), codec.fields(people, "hidden", 4).flatten(1, 2)]
    network.reasoner = PerfectReasoner(torch.cat(hidden, 1).float())
    output = network(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    found = place_connected(output, codec, STILL)
    who = nearest(found, xy)
    assert len(found) == 2 and np.linalg.norm(found.xy[who] - xy, axis=-1).max() <= 1.5
    np.testing.assert_array_equal(found.state[who], state)


@pytest.mark.parametrize("base", ["pifpaf", "hupor"])
@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14], ids=lambda skeleton: skeleton.name)
@pytest.mark.parametrize("count", [1, 2, 5, 10, 20])
def test_perfect_fields_become_the_people_that_made_them(base, skeleton, count):
    """From fields as the networks have them, everybody in a place of their own; some joints are hidden."""
    side = 640
    design = BottomUpDesign(f"{base}_small", skeleton=skeleton.name, side=side, reasoner_size=SIZE)
    codec, coarse = design.codecs
    random = np.random.default_rng((count, len(skeleton)))
    joints = len(skeleton)
    places = [np.array([16 * (person % 5), 20 * (person // 5)]) for person in range(count)]
    xy = 8 * np.concatenate([random_people(random, 1, joints, (20, 16)) + place for place in places]) + 3.5
    state = np.where(random.random((count, joints)) < 0.15, OCCLUDED, VISIBLE)
    people = batch_of(xy, state)
    network = BottomUpNetwork(design)
    network.detect = lambda images: perfect_fields(people, coarse) if base == "pifpaf" else detected(people, codec)
    hidden = [codec.heatmaps(people, "hidden", 4), codec.fields(people, "hidden", 4).flatten(1, 2)]
    network.reasoner = PerfectReasoner(torch.cat(hidden, 1).float())
    found = place_connected(network(torch.zeros(1, side, side, 3, dtype=torch.uint8)), codec, STILL)
    assert len(found) == count
    who = nearest(found, xy)
    assert sorted(who) == list(range(count))
    assert np.linalg.norm(found.xy[who] - xy, axis=-1).max() <= 3.5
    np.testing.assert_array_equal(found.state[who], state)


def test_hupor_finds_people_in_frames(hupor):
    people = build_frontend(hupor)(Frame(0, 0.0, picture(150, 100)))
    assert people.skeleton == COCO17 and np.isfinite(people.xy).all()
    with pytest.raises(OccluposeError, match=r"hupor.safetensors: HUPOR has no flip and no scales; leave them out"):
        BottomUpFrontend(hupor, flip=True)


@pytest.mark.parametrize("options", [{"flip": True}, {"scales": (0.5, 1.0)}])
def test_pifpaf_has_no_flip_and_no_scales(pifpaf, options):
    with pytest.raises(OccluposeError, match=r"pifpaf.safetensors: PifPaf has no flip and no scales; leave them out"):
        BottomUpFrontend(pifpaf, **options)


@pytest.mark.parametrize("base", ["higher_hrnet_small", "pifpaf_small", "hupor_small"])
@pytest.mark.parametrize("size", [(1, 1), (20_000, 3), (3, 20_000)])
def test_images_of_any_size(tmp_path, base, size):
    save(build(base=base, side=32), tmp_path / "net.safetensors")
    people = BottomUpFrontend(tmp_path / "net.safetensors")(Frame(0, 0.0, picture(*size)))
    assert np.isfinite(people.xy).all() and np.isfinite(people.score).all()


# ----------------------------------------------------------------------------------------- options


def test_files_are_recognised_by_what_they_say(file, tmp_path):
    assert (
        is_bottom_up_file(str(file))
        and not is_bottom_up_file("movenet")
        and not is_bottom_up_file(str(tmp_path / "no.safetensors"))
    )
    with pytest.raises(OccluposeError, match="takes whole images, not crops of people"):
        load_crop_network(file)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boxes": True}, "finds people by itself; leave out boxes and detector"),
        ({"detector": True}, "finds people by itself; leave out boxes and detector"),
    ],
)
def test_boxes_and_detectors_are_refused(file, options, message):
    with pytest.raises(OccluposeError, match=message):
        check_options(str(file), **options)


@pytest.mark.parametrize("name", ["movenet", "movenet-multipose", "rtmo:some.onnx"])
def test_others_have_no_scales(name):
    with pytest.raises(OccluposeError, match=f"^{name}: has no scales; leave them out, or give a file that"):
        check_options(name, scales=True)


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0), (np.nan,)])
def test_impossible_scales_are_refused(file, scales):
    with pytest.raises(OccluposeError, match=r"^scales .*: must be one or more positive numbers"):
        BottomUpFrontend(file, scales=scales)


def test_an_unknown_device_is_refused(file):
    with pytest.raises(OccluposeError, match="device abacus"):
        BottomUpFrontend(file, device="abacus")
