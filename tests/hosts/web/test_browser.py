"""The page of `g4seg app` in Debian's Chromium, driven by Playwright; skips with a word where a part is missing.

    APP_SCREENSHOTS=docs/guides python -m pytest tests/hosts/web/test_browser.py -k looks

also writes the screenshots of the guide, of the embedded prior at its own size.
"""

import io
import json
import re
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_g4seg.hosts.web.scenes import SCENES
from tests.conftest import ROOT
from tests.hosts.web.conftest import CHROMIUM, SCREENSHOTS, WIDTHS

AXE = ROOT / 'work_dirs/browser/node_modules/axe-core/axe.min.js'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec('gradio') is None, reason='no gradio: pip install --no-deps -r requirements/app.txt'),
    pytest.mark.skipif(find_spec('playwright') is None, reason='no playwright: pip install playwright'),
    pytest.mark.skipif(CHROMIUM is None, reason='no chromium: apt-get install chromium'),
]


def refine(page) -> None:
    page.locator('#refine').click()
    page.locator('#summary .headline').wait_for()
    loaded(page, '#matched img')


def loaded(page, selector: str) -> None:
    page.wait_for_function(
        's => [...document.querySelectorAll(s)].some((e) => e.complete && e.naturalWidth > 0)', arg=selector
    )


@pytest.mark.parametrize('width', WIDTHS)
def test_looks(open_page, width):
    page = open_page(width)
    refine(page)
    loaded(page, '#slider img')
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        image = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert('RGB')
        image.save(Path(SCREENSHOTS) / f'app_{width}.webp', 'WEBP', quality=75, method=6)
    assert page.evaluate('document.documentElement.scrollWidth') == width
    assert page.locator('h1').inner_text() == 'Refine a segmentation mask'
    left, right = (page.locator(f'#{name}').bounding_box() for name in ('inputs', 'results'))
    assert (left['x'] + left['width'] <= right['x']) is (width == 1440)


@pytest.mark.skipif(not AXE.is_file(), reason='no axe-core: npm install --prefix work_dirs/browser axe-core')
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_accessibility(open_page, scheme):
    # the page lets no script in from outside
    page = open_page(390 if scheme == 'light' else 1440, color_scheme=scheme, bypass_csp=True)
    refine(page)
    page.evaluate(AXE.read_text())
    # the rest is the same in the dark
    found = page.evaluate('axe.run()' if scheme == 'light' else "axe.run({runOnly: ['color-contrast']})")
    assert found['passes']
    assert not [
        (fault['id'], fault['nodes'][0]['html'][:200], len(fault['nodes']))
        for fault in found['violations']
        if fault['impact'] in ('serious', 'critical')
    ]


def test_ones_own_picture_from_upload_to_download(open_page, tmp_path):
    page = open_page()
    pixels = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    labels = np.zeros((60, 90), np.uint8)
    labels[20:40, 30:60] = 1
    Image.fromarray(pixels).save(tmp_path / 'mine.png')
    Image.fromarray(labels).save(tmp_path / 'mask.png')
    page.locator('#picture button[aria-label="Remove Image"], #picture button[aria-label="Clear"]').first.click()
    page.locator('#picture input[type=file]').set_input_files(tmp_path / 'mine.png')
    page.locator('#mask-file input[type=file]').wait_for(state='attached')  # the scene's mask goes with the scene
    loaded(page, '#picture img')
    page.locator('#names textarea').fill('background, crate')
    page.locator('#names textarea').blur()
    page.locator('#inputs .legend li', has_text='crate').wait_for()
    page.locator('#mask-file input[type=file]').set_input_files(tmp_path / 'mask.png')
    page.locator('#mask-file', has_text='mask.png').wait_for()
    refine(page)
    assert 'true mask' not in page.locator('#summary').inner_text()
    files = []
    for label in ('Mask (PNG)', 'Scores (NPZ)', 'Config and inputs (ZIP)'):
        with page.expect_download() as download:
            page.get_by_role('button', name=label).or_(page.get_by_role('link', name=label)).first.click()
        files.append(Path(download.value.path()))
    assert np.asarray(Image.open(files[0])).shape == (60, 90)
    assert np.load(files[1])['probs'].shape[1:] == (60, 90)
    with zipfile.ZipFile(files[2]) as file:
        assert np.asarray(Image.open(file.open('masks/picture.png'))).tolist() == labels.tolist()
        assert np.asarray(Image.open(file.open('images/picture.png'))).tolist() == pixels.tolist()


def test_an_error_in_words_and_the_way_on(open_page, tmp_path):
    page = open_page()
    Image.fromarray(np.zeros((60, 90), np.uint8)).save(tmp_path / 'small.png')
    page.locator('#mask-file button[aria-label="Clear"], #mask-file button[aria-label="Remove"]').first.click()
    page.locator('#mask-file input[type=file]').set_input_files(tmp_path / 'small.png')
    said = page.get_by_text('expected labels of 128 x 128 (height x width) as the image has, got 60 x 90').first
    said.wait_for()
    (tmp_path / 'text.png').write_text('no image')
    page.locator('#picture button[aria-label="Remove Image"], #picture button[aria-label="Clear"]').first.click()
    page.locator('#picture input[type=file]').set_input_files(tmp_path / 'text.png')
    page.get_by_text('picture: expected an image, got text.png, which is none').first.wait_for()
    page.locator('#scenes button').nth(1).click()
    page.locator('#inputs .legend li', has_text='cactus').wait_for()
    refine(page)


def test_slider_by_pointer_and_by_keyboard(open_page):
    page = open_page()
    shown = "getComputedStyle(document.querySelectorAll('#slider img')[1]).clipPath"
    before = page.evaluate(shown)
    handle, box = page.locator('#slider [data-testid=slider]').bounding_box(), page.locator('#slider').bounding_box()
    page.mouse.move(handle['x'] + handle['width'] / 2, box['y'] + box['height'] / 2)
    page.mouse.down()
    page.mouse.move(box['x'] + 0.8 * box['width'], box['y'] + box['height'] / 2, steps=4)
    page.mouse.up()
    page.wait_for_function(f'{shown} != {json.dumps(before)}')
    page.locator('#position input[type=range]').focus()
    page.keyboard.press('Home')
    # a little is left where the picture is narrower than its frame
    page.wait_for_function(f'parseFloat({shown}.split(" ").at(-1)) < 10')


def test_a_click_finds_a_match_and_a_class_its_regions(open_page):
    page = open_page()
    refine(page)
    rebuilt = page.locator('#rebuilt img')
    rebuilt.scroll_into_view_if_needed()
    box = rebuilt.bounding_box()
    rebuilt.click(position={'x': 0.25 * box['width'], 'y': 0.75 * box['height']})
    page.locator('#sentence', has_text=re.compile(r'Column 3[12], row 9[56]')).wait_for()
    page.locator('#point input').nth(0).fill('100')
    page.get_by_role('button', name='Find its match').click()
    page.locator('#sentence', has_text=re.compile(r'Column 100, row 9[56]')).wait_for()
    page.get_by_role('tab', name='Too much, too little').click()
    loaded(page, '#regions img')
    before = page.locator('#inside .legend').inner_text()
    page.locator('#region-class input').click()
    page.get_by_role('option', name='brick wall').click()
    page.wait_for_function('t => document.querySelector("#inside .legend").innerText != t', arg=before)


def test_painting(open_page):
    page = open_page(390)  # drawn in software: fewer pixels are several times as quick
    page.get_by_text('Paint it').click()
    canvas = page.locator('#editor canvas').first
    canvas.wait_for()
    brush = page.locator('#editor button[aria-label="Brush"]')
    brush.click()
    page.locator('#editor button[aria-label="Brush Size"]').wait_for()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = box['x'] + box['width'] / 2, box['y'] + box['height'] / 2
    page.mouse.move(x - 40, y)
    page.mouse.down()
    page.mouse.move(x + 40, y, steps=3)
    page.mouse.up()
    page.locator('#editor button[aria-label="Undo"]:enabled').wait_for()
    refine(page)
    # the first colour is the brick wall's, and nothing else is painted
    page.locator('#summary summary').click()
    assert page.locator('#summary tbody tr').all_inner_texts()[0].startswith('brick wall')


def test_a_source_makes_the_mask(open_page):
    page = open_page()
    page.get_by_text('Let the prior make it').click()
    before = page.locator('#slider img').nth(1).get_attribute('src')
    page.locator('#make').click()
    page.wait_for_function('s => document.querySelectorAll("#slider img")[1].src != s', arg=before)
    refine(page)


def test_a_parameter(open_page):
    page = open_page()
    page.get_by_text('Parameters').click()
    page.get_by_label('Weight of what the prior says').first.wait_for()
    assert page.get_by_text('PAMR: iterations').count() == 0


def test_nothing_off_this_machine_was_asked(address, reached):
    assert address.startswith('http://127.0.0.1')
    assert not reached


def test_shipped_pictures_are_small():
    assert sum(path.stat().st_size for path in SCENES[0].picture.parent.iterdir()) < 200_000
