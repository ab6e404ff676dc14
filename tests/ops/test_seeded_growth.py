"""Shapes: L layers, h w grid, N = h w tokens."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.ops.seeded_growth import (
    combine_cross_attention,
    grow,
    min_max,
    otsu_seeds,
    otsu_threshold,
    seeded_growth,
    suppress_background,
    weigh_layers,
)
from tests.oracle_files import load_oracle

SMOOTH = 5
"""Cells that random maps are averaged over, so that they have regions."""


def random_map(height, width, seed=0, layers=1):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(layers, 1, height, width, generator=generator)
    return F.avg_pool2d(noise, SMOOTH, 1, SMOOTH // 2, count_include_pad=False)[:, 0]


def random_attention(tokens, seed=0):
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, tokens, 4, generator=generator)
    return (query @ key.T).softmax(-1)


def stretch(values):
    low, high = min(map(min, values)), max(map(max, values))
    return [[(v - low) / (high - low) for v in row] for row in values]


def otsu_by_search(values):
    """Every threshold tried: the variance between the two classes, in whole numbers."""
    flat = [int(v) for row in values for v in row]
    best, threshold = -1.0, min(flat)
    for t in range(min(flat), max(flat)):
        low, high = [v for v in flat if v <= t], [v for v in flat if v > t]
        between = len(low) * len(high) * (sum(low) / len(low) - sum(high) / len(high)) ** 2
        if between > best * (1 + 1e-12):
            best, threshold = between, t
    return threshold


def seeds_by_search(probs):
    values = [[math.floor(255 * p * p) for p in row] for row in probs]
    threshold = otsu_by_search(values)
    return [[v > threshold for v in row] for row in values]


def cosine_sums(attention, seeds):
    """Sum over seeds of the cosine of two rows, pair by pair."""
    rows, marked = attention.double().tolist(), [s for row in seeds for s in row]
    norms = [math.sqrt(sum(v * v for v in row)) for row in rows]
    return [
        sum(
            sum(a * b for a, b in zip(rows[i], rows[j], strict=True)) / (norms[i] * norms[j])
            for i in range(len(rows))
            if marked[i]
        )
        for j in range(len(rows))
    ]


def growth_by_loops(cross, attention, variance_floor):
    """The whole method in Python's floats but for bicubic resizing, which is torch's in float64."""
    height, width = cross.shape[1:]
    total = [[0.0] * width for _ in range(height)]
    for layer in cross.double():
        values, mean = layer.flatten().tolist(), float(layer.mean())
        variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
        weight = 0.01 if variance <= variance_floor else 1.0
        for y, row in enumerate(stretch(layer.tolist())):
            for x, value in enumerate(row):
                total[y][x] += weight * value
    probs = stretch(total)
    for rows, own in sorted(attention.items()):
        columns = len(own) // rows
        if rows > height:
            resized = F.interpolate(torch.tensor(probs).double()[None, None], (rows, columns), mode='bicubic')
            prior = resized[0, 0].tolist()
            background = [[not s for s in row] for row in seeds_by_search(prior)]
            sums = cosine_sums(own, background)
            likeness = stretch([sums[i * columns : (i + 1) * columns] for i in range(rows)])
            pairs = zip(stretch(prior), likeness, strict=True)
            probs = stretch([[p * (1 - b) for p, b in zip(*row, strict=True)] for row in pairs])
        else:
            sums = cosine_sums(own, seeds_by_search(probs))
            probs = stretch([sums[i * columns : (i + 1) * columns] for i in range(rows)])
    return torch.tensor(probs)


@pytest.mark.parametrize(('height', 'width'), [(6, 6), (4, 7), (7, 4)])
def test_equals_loops(height, width):
    cross = random_map(height, width, layers=3) * torch.tensor([1.0, 1e-3, 2.0])[:, None, None]
    attention = {height * n: random_attention(n * n * height * width, seed=n) for n in (1, 2)}
    expected = growth_by_loops(cross, attention, 1e-4)
    assert 0.02 < (expected > 0.5).double().mean() < 0.98
    torch.testing.assert_close(seeded_growth(cross, attention, 1e-4), expected, atol=1e-5, rtol=0, check_dtype=False)


def test_one_level_is_the_growth_of_its_seeds():
    cross, attention = random_map(6, 6), random_attention(36)
    sums = torch.tensor(cosine_sums(attention, seeds_by_search(min_max(cross)[0].tolist())))
    expected = min_max(sums.view(6, 6)).float()
    torch.testing.assert_close(seeded_growth(cross, {6: attention}, 1e-4), expected, atol=1e-5, rtol=0)


def test_a_layer_that_hardly_varies_counts_a_hundredth():
    layers = random_map(8, 8, layers=2)
    layers[1] *= 0.01
    weighed = weigh_layers(layers, float(layers[1].var()))
    torch.testing.assert_close(weighed.amax(dim=(1, 2)), torch.tensor([1.0, 0.01]))
    torch.testing.assert_close(weigh_layers(layers, 0.0), min_max(layers))


class TestOtsu:
    @pytest.mark.parametrize('seed', range(4))
    def test_equals_search(self, seed):
        values = (random_map(9, 7, seed)[0] * 400).long()  # beyond 255, as overshooting maps are
        assert otsu_threshold(values) == otsu_by_search(values.tolist())

    def test_two_values_are_parted_at_the_lower(self):
        # all thresholds from 10 to 299 part them alike
        assert otsu_threshold(torch.tensor([[10, 10], [300, 10]])) == 10

    def test_overshoot_is_not_clamped(self):
        # cut at 255, all but the first two would be seeds
        probs = torch.tensor([[0.0, 0.1, 1.0, 1.0, 1.0, 1.4, 1.4, 1.4]])
        assert otsu_seeds(probs).tolist() == [[False] * 5 + [True] * 3]

    def test_a_flat_map_has_no_seeds(self):
        assert not otsu_seeds(torch.full((4, 4), 0.7)).any()


class TestFlat:
    def test_no_words_anywhere(self):
        """A word that is attended to everywhere alike has no seeds, and so no mask."""
        result = seeded_growth(torch.full((2, 4, 4), 0.013), {4: random_attention(16), 8: random_attention(64)}, 1e-4)
        assert torch.equal(result, torch.zeros(8, 8))

    def test_self_attention_that_tells_nothing_apart(self):
        alike = torch.full((64, 64), 1 / 64)
        cross, coarse = random_map(4, 4), random_attention(16)
        result = seeded_growth(cross, {4: coarse, 8: alike}, 1e-4)
        # a background that everything is like leaves the coarser level's map as it is
        prior = F.interpolate(seeded_growth(cross, {4: coarse}, 1e-4)[None, None], (8, 8), mode='bicubic')[0, 0]
        torch.testing.assert_close(result, min_max(prior))

    def test_rounding_is_flat(self):
        maps = torch.full((2, 4, 4), 0.3)
        maps[0, 0, 0] += 3e-8
        maps[1, 0, 0] += 1e-3
        assert min_max(maps)[0].eq(0).all()
        assert min_max(maps)[1, 0, 0] == 1

    def test_rows_of_zeros(self):
        assert grow(torch.zeros(4, 4), torch.ones(4, dtype=torch.bool)).eq(0).all()

    def test_no_seeds(self):
        assert grow(random_attention(4), torch.zeros(4, dtype=torch.bool)).eq(0).all()


class TestExceptions:
    def test_self_attention_of_another_grid(self):
        with pytest.raises(ValueError, match=r'4 rows, got \(15, 15\)'):
            seeded_growth(torch.rand(1, 4, 4), {4: torch.rand(15, 15)}, 1e-4)

    def test_cross_attention_of_another_level(self):
        with pytest.raises(ValueError, match=r'coarsest grid \(4, 4\), got \(8, 8\)'):
            seeded_growth(torch.rand(1, 8, 8), {4: torch.rand(16, 16), 8: torch.rand(64, 64)}, 1e-4)


def close(actual, expected, atol=1e-5):
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


def head_sum(arrays, level, layer):
    """Self-attention of one layer, averaged over steps and summed over heads: (N, N)."""
    query, key = (arrays[f'in_self{level}_{name}'][:, layer] for name in ('query', 'key'))
    total = sum((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1).sum(0) for q, k in zip(query, key, strict=True))
    return total / len(query)


@pytest.mark.parametrize('name', ['seediff_sd14', 'seediff_two_tokens', 'seediff_tiny'])
def test_equals_the_authors_code(name):
    arrays, meta = load_oracle(name)
    a = meta['levels'][0]
    order = {'up': 0, 'mid': 1, 'down': 2}
    places = sorted(range(len(meta['cross_places'])), key=lambda i: order[meta['cross_places'][i]])
    sums = arrays['in_cross'].mean(0).sum(1)[places]  # (layers, N, tokens)
    columns = torch.cat([sums[..., token] for token in meta['token_ids']]).view(-1, a, a)
    attention = {n: head_sum(arrays, n, meta['self_places'][str(n)].index('up')) for n in meta['levels']}
    close(weigh_layers(columns, meta['variance_floor']), arrays['out_cross_layers'])
    check_steps(columns, attention, meta['variance_floor'], arrays)


def check_steps(columns, attention, variance_floor, arrays):
    """Each step equals the authors': (L, a, a) columns of the words, {side: (N, N)} self-attention, coarsest first."""
    (a, *finer) = attention
    probs = combine_cross_attention(columns, variance_floor)
    close(probs, arrays['out_cross'])
    assert otsu_threshold((255 * probs**2).floor().long()) == int(arrays['out_otsu_a'])
    seeds = otsu_seeds(probs)
    assert torch.equal(seeds, arrays['out_seeds_a'])
    total = grow(attention[a], seeds.flatten()).view(a, a)
    torch.testing.assert_close(total, arrays['out_sum_a'], rtol=1e-5, atol=0)
    probs = min_max(total)
    close(probs, arrays['out_prob_a'])
    for letter, level in zip('bc', finer, strict=True):
        prior = F.interpolate(probs[None, None], (level, level), mode='bicubic')[0, 0]
        close(prior, arrays[f'out_prior_{letter}'])
        assert otsu_threshold((255 * prior**2).floor().long()) == int(arrays[f'out_otsu_{letter}'])
        assert torch.equal(~otsu_seeds(prior), arrays[f'out_background_seeds_{letter}'])
        background = grow(attention[level], ~otsu_seeds(prior).flatten()).view(level, level)
        torch.testing.assert_close(background, arrays[f'out_background_sum_{letter}'], rtol=1e-5, atol=0)
        close(1 - min_max(background), arrays[f'out_foreground_factor_{letter}'])
        probs = suppress_background(prior, attention[level])
        close(probs, arrays[f'out_prob_{letter}'])
    close(seeded_growth(columns, attention, variance_floor), arrays['out_prob_c'])


TINY_CROSS = """
    .01325 .02979 .01084 .00210 .01912 .01626 .00000 .01996  .03020 .01180 .01573 .02559 .01763 .15970 .03455 .02149
    .01303 .01532 .03046 .72515 .83051 .76578 .68014 .04211  .03670 .01962 .02759 .93189 1.0000 .95710 .65971 .01393
    .03185 .01523 .04707 .37106 .66408 .38333 .02085 .01852  .00628 .02316 .04495 .01755 .02801 .00909 .01842 .04792
    .01190 .01913 .02024 .01218 .01826 .02973 .02267 .01182  .01565 .01395 .05717 .02888 .01471 .02768 .02815 .03270
"""


def test_seeds_of_the_authors_code():
    """Numbers of `seediff_tiny`, for where the file is not."""
    probs = torch.tensor([float(word) for word in TINY_CROSS.split()]).view(8, 8)
    assert otsu_threshold((255 * probs**2).floor().long()) == 37
    rows = [int(''.join(str(int(v)) for v in row), 2) for row in otsu_seeds(probs)]
    assert rows == [0, 0, 0b00011110, 0b00011110, 0b00001000, 0, 0, 0]
