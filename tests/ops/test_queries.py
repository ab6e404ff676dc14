import torch

from mmseg_g4seg.ops.queries import own_masks, query_owners, segment_evidence, winning_queries


def mask_cls(labels, classes=3, score=4.0):
    """Logits (Q, C + 1) of queries that are sure of a class; `classes` itself is no object."""
    logits = torch.zeros(len(labels), classes + 1)
    logits[torch.arange(len(labels)), torch.tensor(labels)] = score
    return logits


def test_winners_are_the_argmax():
    generator = torch.Generator().manual_seed(0)
    scores, logits = torch.rand(7, generator=generator), torch.randn(7, 9, 11, generator=generator)
    expected = (scores[:, None, None] * logits.sigmoid()).argmax(dim=0)
    assert winning_queries(scores, logits).equal(expected)


def test_a_segment_of_two_queries():
    """Stuff: the first two queries share one id, and the third won nothing that became a segment."""
    winner = torch.tensor([[0, 0, 1, 2, 3, 3]])
    labels = torch.tensor([[0, 0, 0, -1, 1, 1]])
    owners, explained = query_owners(winner, labels, 5, 2)
    assert owners.tolist() == [0, 0, -1, 1, -1]
    assert explained == 1.0
    logits = torch.tensor([[3.0, 3, -3, -3, -3, -3], [-3, -3, 3, -3, -3, -3], [9.0] * 6, [-3.0, -3, -3, -3, 3, 3]])
    evidence = segment_evidence(torch.tensor([1.0, 0.5, 1.0, 1.0]), logits[:, None], owners[:4], 2)
    assert evidence.dtype == torch.float16
    high, low = torch.tensor(3.0).sigmoid(), torch.tensor(-3.0).sigmoid()
    torch.testing.assert_close(evidence[0, 0, 0].float(), high, atol=1e-3, rtol=0)
    torch.testing.assert_close(evidence[0, 0, 2].float(), high / 2, atol=1e-3, rtol=0)
    torch.testing.assert_close(evidence[0, 0, 5].float(), low, atol=1e-3, rtol=0)


def test_pixels_that_others_win_are_not_explained():
    winner = torch.tensor([[0, 0, 0, 0, 1]])
    labels = torch.tensor([[0, 0, 0, 1, 1]])
    owners, explained = query_owners(winner, labels, 2, 2)
    assert owners.tolist() == [0, 1]
    assert explained == 0.8


def test_a_model_of_another_rule_gives_none():
    logits = torch.full((2, 1, 100), -4.0)
    logits[0, 0, :60], logits[1, 0, 60:] = 4.0, 4.0
    ids = torch.tensor([[1] * 60 + [2] * 40])
    masks, explained = own_masks(mask_cls([0, 1]), logits, ids, [1, 2])
    assert explained == 1.0
    assert masks.shape == (2, 1, 100)
    assert masks.argmax(dim=0).equal((ids == 2).long())
    shifted = ids.roll(2, 1)
    masks, explained = own_masks(mask_cls([0, 1]), logits, shifted, [1, 2])
    assert masks is None
    assert explained == 0.96
    # a head of sigmoids has no place for no object: its last class would be taken for it
    masks, explained = own_masks(mask_cls([0, 1], classes=2)[:, :2], logits, ids, [1, 2])
    assert (masks, explained) == (None, 0.6)


def test_no_segment_and_no_query():
    logits = torch.zeros(2, 3, 4)
    assert own_masks(mask_cls([0, 1]), logits, torch.zeros(3, 4).long(), []) == (None, 1.0)
    assert own_masks(mask_cls([3, 3]), logits, torch.ones(3, 4).long(), [1]) == (None, 0.0)
    assert own_masks(mask_cls([0, 1]), logits, torch.ones(3, 4).long(), [1], threshold=0.99) == (None, 0.0)
