"""The page in Debian's Chromium, driven by Playwright; skips with a word where either is missing.

    REPORT_SCREENSHOTS=docs python -m pytest tests/evaluation/html/test_browser.py

also writes the screenshots that the docs show. The check of accessibility needs axe-core, which .ci/run installs:
npm install --prefix work_dirs/browser axe-core
"""

import io
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from mmseg_g4seg.evaluation.html.notes import RunNotes
from mmseg_g4seg.evaluation.html.page import render_page
from mmseg_g4seg.evaluation.json_csv import as_dict
from tests.conftest import ROOT
from tests.evaluation.html.scenes import make_run

sync_api = pytest.importorskip('playwright.sync_api', reason='no playwright: pip install playwright')
CHROMIUM = shutil.which('chromium')
AXE = ROOT / 'work_dirs/browser/node_modules/axe-core/axe.min.js'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason='no chromium: apt-get install chromium'),
]

WIDTHS = {390: 844, 1440: 1000}
NOTES = RunNotes(
    'Landscapes',
    'python tools/test.py configs/landscapes.py checkpoint.pth --refiner configs/_base_/refiners/g4seg_tiny.py',
    {'Refiner': "dict(type='G4SegRefiner', prior='tiny')"},
    {'Python': '3.11', 'torch': '2.12.1', 'device': 'CPU, x86_64'},
)


@pytest.fixture(scope='module')
def page_file(tmp_path_factory) -> Path:
    report, extremes = make_run(24, kept=1)
    path = tmp_path_factory.mktemp('run') / 'report.html'
    path.write_text(render_page(as_dict(report), NOTES, extremes.pictures))
    return path


@pytest.fixture(scope='module')
def browser():
    with sync_api.sync_playwright() as playwright:
        options = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update']
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, page_file):
    """Opens the page offline; what it asks for elsewhere, and what its script complains of, is an error."""
    contexts, faults = [], []

    def open_it(width: int = 1440, **options):
        context = browser.new_context(viewport={'width': width, 'height': WIDTHS[width]}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on('request', lambda r: None if r.url.startswith(('data:', 'file:')) else faults.append(r.url))
        page.on('pageerror', lambda error: faults.append(str(error)))
        page.goto(page_file.as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not faults


def too_wide(page) -> list[str]:
    """Elements that reach beyond the window, those in boxes that scroll left out."""
    return page.evaluate(
        """() => [...document.querySelectorAll('body *')].filter((e) => !e.closest('.scroll, .unseen, .skip, svg') &&
        e.tagName != 'INPUT' && e.getBoundingClientRect().right > innerWidth + 1)
        .map((e) => e.outerHTML.slice(0, 80))"""
    )


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', WIDTHS)
def test_looks(open_page, width, scheme):
    page = open_page(width, color_scheme=scheme)
    if folder := os.environ.get('REPORT_SCREENSHOTS'):
        save(page, Path(folder) / f'report_{width}_{scheme}.webp')
        if (width, scheme) == (1440, 'light'):
            save(page.locator('.example').first, Path(folder) / 'report_slider.webp')
    page.evaluate("document.querySelectorAll('details').forEach((item) => (item.open = true))")
    assert page.evaluate('document.documentElement.scrollWidth') == width
    assert not too_wide(page)
    background = page.evaluate('getComputedStyle(document.body).backgroundColor')
    red = int(background.removeprefix('rgb(').split(',')[0])
    assert red > 200 if scheme == 'light' else red < 50


@pytest.mark.skipif(not AXE.is_file(), reason='no axe-core: npm install --prefix work_dirs/browser axe-core')
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_accessibility(open_page, scheme):
    page = open_page(390, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((item) => (item.open = true))")
    page.evaluate(AXE.read_text())
    # the rest is the same in the dark
    rules = '{}' if scheme == 'light' else "{runOnly: ['color-contrast']}"
    found = page.evaluate(f'axe.run({rules})')
    assert found['passes']
    assert not [(fault['id'], fault['impact'], fault['nodes'][0]['html'][:200]) for fault in found['violations']]


def test_slider_by_keyboard_and_pointer(open_page):
    page = open_page(390)
    slider = page.locator('.compare input').first
    shown = "getComputedStyle(document.querySelector('.compare .coarse .frame')).clipPath"
    before = page.evaluate(shown)
    slider.focus()
    page.keyboard.press('ArrowRight')
    assert (slider.input_value(), slider.get_attribute('aria-valuetext')) == ('51', '51 % coarse')
    assert page.evaluate(shown) != before
    page.keyboard.press('Home')
    assert slider.input_value() == '0'
    box = slider.bounding_box()
    slider.click(position={'x': 0.8 * box['width'], 'y': box['height'] / 2})
    assert 75 < int(slider.input_value()) < 87


def test_keyboard_reaches_what_can_be_used_in_the_order_of_the_page(open_page):
    page = open_page(1440)
    tops = []
    for _ in range(60):
        page.keyboard.press('Tab')
        place = page.evaluate(
            """() => { const e = document.activeElement;
            return e == document.body ? null : [e.tagName, e.getBoundingClientRect().top + scrollY, e.className]; }"""
        )
        if place is None:
            break
        tops.append(place)
    tags = [tag for tag, *_ in tops]
    assert tops[0][2] == 'skip'
    assert tags.count('INPUT') == 2
    assert 'PRE' in tags
    ranked = [top for tag, top, _ in tops[1:] if tag != 'BUTTON']
    assert ranked == sorted(ranked)


@pytest.mark.parametrize('width', WIDTHS)
def test_without_javascript_masks_stand_side_by_side(open_page, width):
    page = open_page(width, java_script_enabled=False)
    coarse, refined = (
        page.locator(f'.compare .{stage} .frame').first.bounding_box() for stage in ('coarse', 'refined')
    )
    assert coarse['x'] + coarse['width'] <= refined['x']
    assert coarse['width'] == pytest.approx(refined['width'], abs=1)
    assert not page.locator('.compare input').first.is_visible()
    assert not page.locator('button').first.is_visible()


def test_on_paper(open_page):
    """Nothing is folded away or behind a slider."""
    page = open_page(1440)
    page.emulate_media(media='print')
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator('details:not([open])').count() == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.compare .coarse .frame')).clipPath") == 'none'
    assert not page.locator('nav').is_visible()


def save(shown, path: Path) -> None:
    """Writes what the window, or an element of the page, shows, small."""
    image = Image.open(io.BytesIO(shown.screenshot())).convert('RGB')
    image.save(path, 'WEBP', quality=75, method=6)
