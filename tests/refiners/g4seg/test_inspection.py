"""What the page and the figures show: correspondences and reconstructions."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.ops.matching import match_features
from mmseg_g4seg.refiners.dense_crf import DenseCRFRefiner
from mmseg_g4seg.refiners.g4seg.inspection import Correspondence, correspond, g4seg_stage, reconstruct_at
from mmseg_g4seg.refiners.g4seg.reconstruction import OneStep
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate
from mmseg_g4seg.refiners.sequential import SequentialRefiner
from tests.conftest import IMAGE_SIZE, NAMES, random_case
from tests.refiners.g4seg.making import make


class Colours(FeatureExtractor):
    """The colours of 4 x 4 patches, of the pixels alone."""

    reads_pixels = True

    def __call__(self, prior, latents, pixels=None):
        return F.avg_pool2d(pixels, 4)


def test_a_point_and_its_match_are_places_of_the_image():
    # 2 x 4 cells on an image of 20 x 80: the first two cells of the reconstruction look like the last two of the image
    original = torch.eye(8).view(8, 2, 4)
    found = Correspondence(torch.zeros(3, 20, 80), original.flip(1, 2), original)
    match = found.match(3, 25)  # cell 1, which is cell 6 turned around
    assert match.query == (3, 25)
    assert match.place == (15, 50)
    assert match.cosine == 1.0
    assert match.similarity.shape == (20, 80)
    row, column = divmod(int(match.similarity.argmax()), 80)
    assert (row // 10, column // 20) == (1, 2)
    assert found.match(0, 0).place == (15, 70)
    assert found.match(19, 79).place == (5, 10)


@pytest.mark.parametrize('point', [(-1, 0), (20, 0), (0, 80)])
def test_a_point_outside(point):
    features = torch.ones(1, 2, 4)
    with pytest.raises(ValueError, match='point: expected row 0 to 19, column 0 to 79, got'):
        Correspondence(torch.zeros(3, 20, 80), features, features).match(*point)


def test_correspondence_is_the_updates(prior):
    image, coarse = random_case(24, 40)
    refiner = make(prior, update=CorrespondenceUpdate(features=Colours(), reconstruction=OneStep(timestep=300)))
    found = correspond(refiner, image, coarse, NAMES, key='x')
    expected = refiner.reconstruct(image, coarse, NAMES, key='x')
    torch.testing.assert_close(found.reconstruction, expected, atol=1e-6, rtol=0)
    index, similarity = match_features(found.generated[None], found.original[None])
    cells = IMAGE_SIZE // 4
    match = found.match(12, 20)
    cell = 12 * cells // 24 * cells + 20 * cells // 40
    row, column = divmod(int(index[0, cell]), cells)
    assert match.place == ((2 * row + 1) * 24 // (2 * cells), (2 * column + 1) * 40 // (2 * cells))
    assert match.cosine == pytest.approx(float(similarity[0, cell]))


def test_one_class_alone_is_injected(prior):
    image, coarse = random_case()
    together, alone = (correspond(make(prior), image, coarse, NAMES, only=only) for only in (None, 3))
    assert not torch.equal(together.reconstruction, alone.reconstruction)
    with pytest.raises(ValueError, match=r'only: expected a class .* one of \[.*\], got 17'):
        correspond(make(prior), image, coarse, NAMES, only=17)


def test_timesteps(prior):
    image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
    refiner = make(prior)
    little, much = reconstruct_at(refiner, image, coarse, NAMES, (10, 900))
    expected = refiner.reconstruct(image, coarse, NAMES, reconstruction=OneStep(timestep=900))
    torch.testing.assert_close(much, expected, atol=1e-6, rtol=0)
    # with little noise the picture comes back but for what the autoencoder loses
    clean = prior.decode_latents(prior.encode_images(image[None]))[0]
    assert (little - clean).abs().mean() < (much - clean).abs().mean()
    with pytest.raises(ValueError, match='timestep: expected 0 to 999, got 1000'):
        reconstruct_at(refiner, image, coarse, NAMES, (10, 1000))


def test_the_stage_of_a_chain(prior):
    pytest.importorskip('pydensecrf')
    g4seg, crf = make(prior), DenseCRFRefiner()
    assert g4seg_stage(g4seg) is g4seg
    assert g4seg_stage(SequentialRefiner([crf, g4seg])) is g4seg
    with pytest.raises(ValueError, match='expected a G4SegRefiner, or a chain with one, got a DenseCRFRefiner'):
        g4seg_stage(crf)
