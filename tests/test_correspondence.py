import pytest
import torch

from mmseg_g4seg import correspondence
from mmseg_g4seg.correspondence import gather_matches, match_features


def loop_match(source, target):
    """For each source location, the target location of highest cosine similarity, one by one."""
    batch, _, height, width = source.shape
    index = torch.zeros(batch, height * width, dtype=torch.long)
    for b in range(batch):
        for j in range(height * width):
            best = -2.0
            for i in range(height * width):
                u, v = source[b, :, j // width, j % width], target[b, :, i // width, i % width]
                similarity = float((u @ v) / (u.norm() * v.norm()))
                if similarity > best + 1e-7:
                    best, index[b, j] = similarity, i
    return index


def test_agrees_with_a_plain_loop():
    source, target = torch.randn(2, 6, 4, 5), torch.randn(2, 6, 4, 5)
    index, similarity = match_features(source, target)
    assert torch.equal(index, loop_match(source, target))
    assert index.dtype == torch.int64
    assert similarity.abs().max() <= 1 + 1e-6


def test_an_image_matches_itself():
    features = torch.randn(1, 16, 3, 7)
    index, similarity = match_features(features, features * 4)
    assert torch.equal(index, torch.arange(21)[None])
    torch.testing.assert_close(similarity, torch.ones(1, 21))


def test_a_permutation_is_undone():
    features, order = torch.randn(1, 16, 2, 4), torch.randperm(8)
    shuffled = features.flatten(2)[..., order].view_as(features)
    index, _ = match_features(shuffled, features)
    maps = torch.rand(1, 2, 4)
    assert torch.equal(gather_matches(maps, index).flatten(), maps.flatten()[order])


def test_chunks_do_not_change_the_result(monkeypatch):
    source, target = torch.randn(1, 8, 6, 6), torch.randn(1, 8, 6, 6)
    whole = match_features(source, target)
    monkeypatch.setattr(correspondence, 'ROWS_PER_CHUNK', 5)
    for a, b in zip(match_features(source, target), whole, strict=True):
        torch.testing.assert_close(a, b)


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match='one shape'):
        match_features(torch.rand(1, 4, 2, 2), torch.rand(1, 4, 2, 3))
