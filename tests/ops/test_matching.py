import pytest
import torch

from mmseg_g4seg.ops import matching
from mmseg_g4seg.ops.matching import gather_matches, match_features, match_softly, read_matches


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
    maps = torch.rand(1, 3, 2, 4)
    assert torch.equal(gather_matches(maps, index).flatten(2), maps.flatten(2)[..., order])


def test_chunks_do_not_change_the_result(monkeypatch):
    source, target = torch.randn(1, 8, 6, 6), torch.randn(1, 8, 6, 6)
    whole = match_features(source, target)
    monkeypatch.setattr(matching, 'ROWS_PER_CHUNK', 5)
    for a, b in zip(match_features(source, target), whole, strict=True):
        torch.testing.assert_close(a, b)


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match='one shape'):
        match_features(torch.rand(1, 4, 2, 2), torch.rand(1, 4, 2, 3))


def test_soft_matches_by_definition(monkeypatch):
    monkeypatch.setattr(matching, 'ROWS_PER_CHUNK', 7)
    source, target, maps = torch.randn(2, 4, 4, 5), torch.randn(2, 4, 4, 5), torch.rand(2, 3, 4, 5)
    similarity = torch.nn.functional.cosine_similarity(source.flatten(2)[..., None], target.flatten(2)[:, :, None], 1)
    weights = similarity / 0.3
    expected = torch.einsum('bji,bki->bkj', weights.softmax(-1), maps.flatten(2)).view_as(maps)
    torch.testing.assert_close(match_softly(source, target, maps, temperature=0.3), expected)


def test_soft_matches_become_the_best_match():
    source, target, maps = torch.randn(1, 8, 4, 5), torch.randn(1, 8, 4, 5), torch.rand(1, 2, 4, 5)
    best = gather_matches(maps, match_features(source, target)[0])
    torch.testing.assert_close(match_softly(source, target, maps, temperature=1e-4), best, atol=1e-3, rtol=0)


@pytest.mark.parametrize('temperature', [0.0, 0.2])
def test_what_is_read_at_the_matches(temperature):
    source, target, maps = torch.randn(2, 8, 4, 5), torch.randn(2, 8, 4, 5), torch.rand(2, 3, 4, 5)
    expected = (
        match_softly(source, target, maps, temperature=0.2)
        if temperature
        else gather_matches(maps, match_features(source, target)[0])
    )
    assert torch.equal(read_matches(source, target, maps, temperature=temperature), expected)
