"""Shapes: C classes, H W label map."""

import pytest
import torch

from mmseg_g4seg.diffusion.injection.ade20k_colours import ADE20K_CLASSES
from mmseg_g4seg.diffusion.injection.control_images import (
    ADE20K_COLOURS,
    control_colours,
    number_regions,
    paint_regions,
)

SKY, WALL, GRASS, ROAD = (6, 230, 230), (120, 120, 120), (4, 250, 7), (140, 140, 140)


def chosen(names, palette=None):
    return [tuple(colour) for colour in control_colours(names, palette).tolist()]


class TestPalette:
    def test_is_that_of_mmseg(self):
        datasets = pytest.importorskip('mmseg.datasets')
        meta = datasets.ADE20KDataset.METAINFO
        assert [list(colour) for _, colour in ADE20K_CLASSES] == meta['palette']
        assert [names.split(',')[0] for names, _ in ADE20K_CLASSES] == [name.strip() for name in meta['classes']]

    def test_facts(self):
        assert len(ADE20K_CLASSES) == 150
        assert len(ADE20K_COLOURS) == len(set(ADE20K_COLOURS)) == 149
        assert ADE20K_CLASSES[6][1] == ADE20K_CLASSES[48][1] == ROAD
        assert (0, 0, 0) not in ADE20K_COLOURS, 'black is for pixels of no class'

    def test_ade20k_is_shown_in_its_own_colours(self):
        expected = [colour for _, colour in ADE20K_CLASSES]
        assert chosen([names.split(', ')[0] for names, _ in ADE20K_CLASSES]) == expected
        assert chosen([names for names, _ in ADE20K_CLASSES]) == expected


class TestColours:
    @pytest.mark.parametrize(
        'name', ['sky', ' Sky', ('heaven', 'sky'), ['firmament', 'SKY'], 'heaven, sky', ('heaven,sky',)], ids=str
    )
    def test_a_name_that_ade20k_has(self, name):
        assert chosen([name], [(255, 0, 0)]) == [SKY]

    @pytest.mark.parametrize(
        ('name', 'main'),
        [
            ('aeroplane', 'airplane'),
            ('motorbike', 'minibike'),
            ('traffic-light', 'traffic light'),
            ('sign', 'signboard'),
        ],
    )
    def test_synonyms_of_ade20k(self, name, main):
        assert chosen([name]) == chosen([main])
        assert chosen([name])[0] == {names.split(',')[0]: colour for names, colour in ADE20K_CLASSES}[main]

    def test_a_main_name_goes_before_a_synonym(self):
        by_index = [colour for _, colour in ADE20K_CLASSES]
        assert chosen(['screen', 'counter', 'stool', 'pot']) == [by_index[i] for i in (130, 45, 110, 125)]

    def test_others_get_the_nearest_colour(self):
        own = [(250, 20, 30), (0, 0, 0), (118, 121, 119)]
        for colour, got in zip(own, chosen(['unicorn', 'dragon', 'griffin'], own), strict=True):
            distances = {c: sum((a - b) ** 2 for a, b in zip(c, colour, strict=True)) for c in ADE20K_COLOURS}
            assert distances[got] == min(distances.values())
        assert got == WALL

    def test_voc_by_index_where_no_palette_is_known(self):
        assert chosen(['a1', 'a2', 'a3']) == chosen(['a1', 'a2', 'a3'], [(0, 0, 0), (128, 0, 0), (0, 128, 0)])

    def test_no_two_classes_share_a_free_colour(self):
        same = [(6, 230, 231)] * 5
        got = chosen(['a', 'b', 'sky', 'c', 'd'], same)
        assert got[2] == SKY, 'a name goes before an index'
        assert len(set(got)) == 5
        distance = [sum((a - b) ** 2 for a, b in zip(c, same[0], strict=True)) for c in got]
        assert distance[0] < distance[1] < distance[3] < distance[4], 'the nearer ones go first'

    def test_of_several_classes_under_one_name_the_free_one(self):
        person, car = chosen(['person', 'car'])
        assert chosen(['person', ('person', 'car'), ('person', 'car')]) == [person, car, person]

    def test_more_classes_than_colours(self):
        names = [f'thing {i}' for i in range(200)]
        own = chosen(names)
        counts = torch.tensor([own.count(colour) for colour in ADE20K_COLOURS])
        assert counts.sum() == 200
        assert counts.min() == 1
        assert counts.max() == 2

    def test_order_of_others_does_not_move_named_ones(self):
        assert chosen(['grass', 'unicorn', 'wall'])[::2] == chosen(['grass', 'dragon', 'wall'])[::2] == [GRASS, WALL]

    def test_no_class(self):
        assert control_colours([]).shape == (0, 3)

    def test_palette_of_another_length(self):
        with pytest.raises(ValueError, match='palette: expected 2 colours, one a class, got 1'):
            control_colours(['a', 'b'], [(0, 0, 0)])


class TestPainting:
    def test_pixel_by_pixel(self):
        label_map = torch.tensor([[2, 2, 0], [255, 1, -1]])
        image = paint_regions(number_regions(label_map, [2, 1], (2, 3)), torch.tensor([SKY, GRASS], dtype=torch.uint8))
        black = (0, 0, 0)
        expected = torch.tensor([[SKY, SKY, black], [black, GRASS, black]]) / 255
        assert image.dtype == torch.float32
        assert torch.equal(image, expected.permute(2, 0, 1))

    def test_resized_to_the_nearest_pixel(self):
        label_map = torch.tensor([[3, 4], [5, 3]])
        regions = number_regions(label_map, [3, 5], (4, 6))
        rows = torch.tensor([[1, 1, 1, 0, 0, 0], [2, 2, 2, 1, 1, 1]])
        assert torch.equal(regions, rows.repeat_interleave(2, 0))
        # shrunk, the pixel in the middle of each cell
        assert torch.equal(
            number_regions(torch.arange(9)[None].repeat(3, 1), [1, 4, 7], (1, 3)), torch.tensor([[1, 2, 3]])
        )
