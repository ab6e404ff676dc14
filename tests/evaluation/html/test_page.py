import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from mmseg_g4seg import __version__
from mmseg_g4seg.evaluation.build import build_report
from mmseg_g4seg.evaluation.files import PAGE, render_again, write_page, write_report
from mmseg_g4seg.evaluation.html.charts import MOST_BARS, Scale, image_bars, signed
from mmseg_g4seg.evaluation.html.notes import RunNotes, command_line, describe_run
from mmseg_g4seg.evaluation.html.page import MOST_CLASSES, MOST_IMAGES, render_page
from mmseg_g4seg.evaluation.json_csv import as_dict
from mmseg_g4seg.evaluation.records import measure_image
from tests.evaluation.examples import CLASSES, make_records, random_maps
from tests.evaluation.html.parsed import ParsedPage, leaves
from tests.evaluation.html.scenes import make_run

NOTES = RunNotes('a <b> & c', 'python tools/test.py "a b.py"', {'Refiner': "dict(type='<x>')"}, {'torch': '2.12'})


@pytest.fixture(scope='module')
def run():
    return make_run(8, kept=2, size=(120, 90))


@pytest.fixture(scope='module')
def page(run):
    report, extremes = run
    return ParsedPage(render_page(as_dict(report), NOTES, extremes.pictures))


def expected_figures(metrics):
    """What a page has to show: all but names, bounds of bins, and lists that repeat the images."""
    found = leaves({key: value for key, value in metrics.items() if key not in ('gained_most', 'lost_most')})
    return {place: value for place, value in found.items() if place[-1] not in ('name', 'from', 'to')}


def assert_figures(page, metrics):
    expected = expected_figures(metrics)
    assert {place: value for place, (value, _) in page.figures.items()} == expected
    for place, (value, text) in page.figures.items():
        shown = text.replace('\N{MINUS SIGN}', '-').replace(',', '')
        assert shown == '\N{EN DASH}' if value is None else float(shown) == pytest.approx(value, abs=0.0051), place


def test_every_figure_once_and_that_of_the_json(run, page):
    assert_figures(page, as_dict(run[0]))


def test_figures_of_a_chain_with_an_image_that_nothing_is_labelled_in():
    records = make_records(chain=True)
    maps, truth = random_maps(9, chain=True)
    records.append(measure_image('9.png', maps, torch.full_like(truth, 255), 4, seconds=records[0].seconds))
    metrics = as_dict(build_report(records, CLASSES))
    metrics['images'] = metrics['images'][:4]  # the fifth has no figure that could be ranked
    assert_figures(ParsedPage(render_page(metrics, NOTES)), metrics)


def test_nothing_is_fetched_from_elsewhere(page):
    for tag, attributes in page.elements:
        for name in ('src', 'href', 'srcset', 'data', 'poster'):
            value = attributes.get(name) or ''
            assert value.startswith(('data:image/webp;base64,', '#')) or not value, (tag, name, value[:60])
        assert not re.search(r'url\((?!data:image/webp)', attributes.get('style') or '')
        assert tag not in ('link', 'iframe', 'object')


def test_style_and_script_fetch_nothing_either(run):
    text = re.sub(r'base64,[\w+/=]+', '', render_page(as_dict(run[0]), NOTES, run[1].pictures))
    assert not re.search(r'https?://|@import|fetch\(|XMLHttpRequest', text)


def test_every_picture_has_words_and_every_table_its_headers(page):
    assert len(page.all('img')) == 4 * len(page.all('figure')) == 12
    assert all(len(image['alt']) > 10 for image in page.all('img'))
    assert all(svg['aria-hidden'] == 'true' for svg in page.all('svg')), 'the figures beside are read out'
    assert all(cell['scope'] in ('row', 'col') for cell in page.all('th'))
    assert len(page.all('caption')) == len(page.all('table'))
    assert all(slider['aria-label'] for slider in page.all('input'))


def test_headings_go_down_by_one(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch('h[1-6]', tag)]
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_links_lead_somewhere(page):
    ids = [attributes['id'] for _, attributes in page.elements if attributes.get('id')]
    assert len(ids) == len(set(ids))
    assert {link['href'].removeprefix('#') for link in page.all('a')} <= set(ids)


def test_without_javascript_nothing_is_missing(page):
    """What only a script can serve is hidden; the masks stand side by side."""
    assert all('hidden' in control for control in page.all('input') + page.all('button'))


def test_names_are_text_and_not_markup(page):
    assert 'a <b> & c' in page.text
    assert "dict(type='<x>')" in page.text
    assert not page.all('b')
    assert not page.all('x')
    assert 'sun & moon' in page.text


def test_sentence_says_what_the_interval_says():
    metrics = as_dict(build_report(make_records(), CLASSES))
    sure = ParsedPage(render_page(metrics, NOTES)).text
    assert f'raised mean IoU by {metrics["gain"]["mIoU"]:.2f} points' in sure
    unsure = {**metrics, 'gain': {**metrics['gain'], 'interval': [-1.0, 2.0]}}
    assert 'do not\n    tell whether refinement helps' in ParsedPage(render_page(unsure, NOTES)).text
    worse = {**metrics, 'gain': {**metrics['gain'], 'mIoU': -3.0, 'interval': [-4.0, -2.0]}}
    assert 'lowered mean IoU by 3.00 points' in ParsedPage(render_page(worse, NOTES)).text
    alone = as_dict(build_report(make_records(1), CLASSES))
    assert alone['gain']['interval'] == [None, None]
    assert 'One image, or block of\n    them, does not tell' in ParsedPage(render_page(alone, NOTES)).text


def test_nothing_labelled():
    maps, truth = random_maps(0)
    report = build_report([measure_image('a', maps, torch.full_like(truth, 255), 4)], CLASSES)
    assert 'No image has a labelled pixel' in ParsedPage(render_page(as_dict(report), NOTES)).text


def test_an_image_may_lose_its_figure():
    metrics = as_dict(build_report(make_records(), CLASSES))
    metrics['images'][0]['refined'] = None
    rows = ParsedPage(render_page(metrics, NOTES)).text
    assert metrics['images'][0]['name'] in rows


def test_without_labels_there_is_no_page(tmp_path):
    report = build_report(make_records(labelled=False), CLASSES)
    write_page(report, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ['metrics.json']
    with pytest.raises(ValueError, match='of a run with labels'):
        render_page(as_dict(report), NOTES)


def test_many_classes_and_images_fold_away():
    """150 classes and 600 images: the ends are in sight, every class is there."""
    names = [f'class {i}' for i in range(150)]
    metrics = as_dict(build_report(make_records(), [*CLASSES, *names]))
    metrics['images'] = [{**metrics['images'][0], 'name': f'{i}.png'} for i in range(600)]
    page = ParsedPage(render_page(metrics, NOTES))
    assert f'{154 - MOST_CLASSES} classes in between' in page.text
    assert sum(place[:2] == ('gain', 'classes') for place in page.figures) == 154 * 3
    assert sum(place[0] == 'images' for place in page.figures) == MOST_IMAGES * 2
    assert f'{600 - MOST_IMAGES} images in between' in page.text
    assert len(image_bars([(str(i), 300.0 - i) for i in range(3000)]).split('<rect')) - 1 == MOST_BARS


def test_fifty_pictures_are_below_five_megabytes(run):
    report, extremes = run
    largest = max(extremes.pictures, key=lambda p: len(p.photo))
    padded = replace(largest, photo='A' * (93_400 - sum(map(len, largest.layers.values()))))  # all that BUDGET allows
    page = render_page(as_dict(report), NOTES, [replace(padded, name=str(i)) for i in range(50)])
    assert 4.5e6 < len(page.encode()) < 5e6


def test_again_from_its_files(tmp_path, run):
    report, extremes = run
    write_report(report, tmp_path, notes=NOTES, pictures=extremes.pictures)
    first = (tmp_path / PAGE).read_text()
    (tmp_path / PAGE).unlink()
    assert render_again(tmp_path) == tmp_path / PAGE
    assert (tmp_path / PAGE).read_text() == first
    (tmp_path / 'report_data.json').unlink()
    render_again(tmp_path)
    assert_figures(ParsedPage((tmp_path / PAGE).read_text()), json.loads((tmp_path / 'metrics.json').read_text()))


def test_again_says_what_it_misses(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'metrics\.json is missing'):
        render_again(tmp_path)
    (tmp_path / 'metrics.json').write_text('{')
    with pytest.raises(ValueError, match='expected JSON'):
        render_again(tmp_path)
    (tmp_path / 'metrics.json').write_text('{"gain": {}, "images": [], "coarse": {}}')
    with pytest.raises(ValueError, match='of a run of this version'):
        render_again(tmp_path)


@pytest.mark.parametrize(
    ('values', 'low', 'high'),
    [([1, 5], 0, 5), ([-3, -1], -3, 0), ([-2, 4], -2, 4), ([], 0, 0), ([0, 0], 0, 0), ([1e-3], 0, 1e-3)],
)
def test_scale_holds_its_values_and_zero(values, low, high):
    scale = Scale.over(values)
    assert scale.low <= low <= high <= scale.high
    assert scale.low < scale.high
    assert 0 <= scale.place(0) <= 100
    assert 0 in scale.ticks
    assert 2 <= len(scale.ticks) <= 6


def test_signs():
    assert [signed(value) for value in (1.5, -0.3, 0.0, -0.001)] == ['+1.50', '\N{MINUS SIGN}0.30', '0.00', '0.00']


class TestNotes:
    def test_versions_and_device(self):
        notes = describe_run('run', {})
        assert notes.versions['torch'].split('+')[0] == torch.__version__.split('+')[0]
        assert {'Python', 'numpy', 'device'} <= set(notes.versions)
        assert notes.versions['mmseg_g4seg'] == __version__

    @pytest.mark.parametrize(
        ('arguments', 'expected'),
        [
            (['/usr/bin/python3', 'tools/test.py', 'a b.py'], "python3 tools/test.py 'a b.py'"),
            (['python', '-m', 'projects.demo'], 'python -m projects.demo'),
            (['{bin}/python', '{bin}/g4seg', 'test', 'c.py'], 'g4seg test c.py'),
            (['python'], 'python'),
        ],
    )
    def test_command(self, monkeypatch, arguments, expected):
        monkeypatch.setattr('sys.executable', '/env/bin/python')
        assert command_line([argument.format(bin='/env/bin') for argument in arguments]) == expected
