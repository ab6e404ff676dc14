import warnings

import pytest
import torch

from mmseg_g4seg.ops.scores import binary_probs, scores_to_probs

LOGITS = torch.randn(4, 3, 5) * 3


def test_logits():
    torch.testing.assert_close(scores_to_probs(LOGITS, 'logits'), LOGITS.softmax(0))


def test_softmax_stays():
    torch.testing.assert_close(scores_to_probs(LOGITS.softmax(0), 'softmax'), LOGITS.softmax(0))


def test_sigmoid_and_sums_are_normalised():
    for kind, scores in (('sigmoid', LOGITS.sigmoid()), ('sum', LOGITS.exp())):
        torch.testing.assert_close(scores_to_probs(scores, kind), scores / scores.sum(0))


@pytest.mark.parametrize('kind', ['softmax', 'sigmoid', 'sum'])
def test_logits_under_another_name_are_noticed(kind):
    with pytest.raises(ValueError, match="did you mean 'logits'"):
        scores_to_probs(LOGITS, kind)


def test_sigmoid_called_softmax_is_noticed():
    with pytest.raises(ValueError, match=r'sum to 1 .* got sums from'):
        scores_to_probs((LOGITS - 4).sigmoid(), 'softmax')


@pytest.mark.parametrize(
    ('scores', 'meant'),
    [
        (LOGITS.softmax(0), "'softmax'"),
        (LOGITS.sigmoid(), "'sigmoid', or 'sum'"),
        (LOGITS.sigmoid() * 3, "score_type='sum'"),
    ],
)
def test_others_called_logits_are_said(scores, meant):
    with pytest.warns(UserWarning, match=meant):
        scores_to_probs(scores, 'logits')


def test_logits_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        scores_to_probs(LOGITS, 'logits')


def test_nan_and_unknown_type():
    with pytest.raises(ValueError, match='NaN'):
        scores_to_probs(torch.full((2, 1, 1), float('nan')), 'logits')
    with pytest.raises(ValueError, match='score_type'):
        scores_to_probs(LOGITS, 'other')


def test_binary():
    assert binary_probs(torch.tensor([[[0.25]]])).flatten().tolist() == [0.75, 0.25]
