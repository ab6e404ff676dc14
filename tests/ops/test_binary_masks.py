import torch

from mmseg_g4seg.ops.binary_masks import merge_binary_masks


def pixel(*values):
    return torch.tensor(values).view(-1, 1, 1)


COARSE = pixel(0.1, 0.6, 0.3)


def merge(claims, classes=(1, 2), background=None):
    return merge_binary_masks(COARSE, classes, pixel(*claims), background_index=background).flatten()


def test_one_claim_wins_against_the_coarse_class():
    merged = merge([0.02, 0.99])
    assert merged.argmax() == 2
    assert merged[2] > 0.9


def test_several_claims_leave_it_to_the_coarse_scores():
    assert merge([1.0, 1.0]).argmax() == 1
    torch.testing.assert_close(merge([1.0, 1.0]), torch.tensor([0.0, 2 / 3, 1 / 3]))


def test_the_coarse_scores_break_ties_but_do_not_veto():
    sure = pixel(0.001, 0.998, 0.001)
    assert merge_binary_masks(sure, [1, 2], pixel(0.3, 0.95)).flatten().argmax() == 2


def test_no_claim_goes_to_background_or_stays():
    assert merge([0.0, 0.0], background=0).argmax() == 0
    torch.testing.assert_close(merge([0.0, 0.0]), COARSE.flatten())


def test_sums_to_one_and_is_soft():
    torch.manual_seed(0)
    probs = torch.rand(4, 5, 6).softmax(0)
    for background in (None, 0):
        merged = merge_binary_masks(probs, [1, 3], torch.rand(2, 5, 6), background_index=background)
        torch.testing.assert_close(merged.sum(0), torch.ones(5, 6))
        assert merged.min() >= 0
    torch.testing.assert_close(merge([0.6, 0.0], background=0)[0], torch.tensor(0.4))


def test_classes_that_were_not_refined_keep_their_own():
    probs = pixel(0.1, 0.2, 0.7)
    merged = merge_binary_masks(probs, [1], pixel(0.0), background_index=0).flatten()
    torch.testing.assert_close(merged, torch.tensor([0.3, 0.0, 0.7]))
