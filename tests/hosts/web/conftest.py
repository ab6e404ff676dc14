"""The page in a browser: its server, and Debian's Chromium offline but for it."""

import os
import shutil
import socket
from pathlib import Path
from time import perf_counter

import pytest

from tests.hosts.web.test_handlers import CONFIG

CHROMIUM = shutil.which('chromium')
SCREENSHOTS = os.environ.get('APP_SCREENSHOTS')
"""Folder to write them to; they show the embedded prior at its own size, which takes longer."""
WIDTHS = {390: 844, 1440: 1000}
LONG = 60_000
"""Milliseconds that a busy machine may need; nothing waits longer than it must."""


@pytest.fixture(scope='module')
def reached() -> list[object]:
    """Addresses off this machine that the server reached for."""
    return []


@pytest.fixture(scope='module')
def kept(tmp_path_factory) -> Path:
    """Where uploads and results lie while the page runs."""
    return tmp_path_factory.mktemp('kept')


@pytest.fixture(scope='module')
def address(tmp_path_factory, kept, reached):
    from mmseg_g4seg.hosts.web.page import serve

    folder = tmp_path_factory.mktemp('app')
    (folder / 'quick.py').write_text(CONFIG)
    connect = socket.socket.connect

    def recorded(self, where):
        if self.family != socket.AF_UNIX and where[0] not in ('127.0.0.1', '::1', 'localhost'):
            reached.append(where)
        return connect(self, where)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('GRADIO_TEMP_DIR', str(kept))
        patch.setattr(socket.socket, 'connect', recorded)
        with serve([] if SCREENSHOTS else [str(folder / 'quick.py')]) as found:
            yield found
        # Gradio's own list of what it deletes, after an hour or with the page, has the files of runs, too
        assert not [path for path in kept.glob('run_*/*') if path.is_file()]


@pytest.fixture(scope='module')
def browser():
    sync_api = pytest.importorskip('playwright.sync_api', reason='no playwright: pip install playwright')
    with sync_api.sync_playwright() as playwright:
        # the editor draws by WebGL, which a machine without a GPU does in software
        drawing = ['--use-angle=swiftshader', '--enable-unsafe-swiftshader']
        options = ['--no-sandbox', *drawing, '--disable-background-networking', '--disable-component-update']
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, address):
    """Opens the page; what it asks for elsewhere, and what its scripts complain of, is an error."""
    contexts, faults = [], []

    def open_it(width: int = 1440, **options):
        context = browser.new_context(viewport={'width': width, 'height': WIDTHS[width]}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(LONG)
        known = (address, 'data:', f'blob:{address}')
        page.on('request', lambda r: None if r.url.startswith(known) else faults.append(r.url))
        page.on('pageerror', lambda error: faults.append(str(error)))
        start = perf_counter()
        page.goto(address, wait_until='commit')
        page.locator('h1').wait_for()
        print(f'{width} pixels wide: heading after {perf_counter() - start:.2f} s')
        page.locator('#slider img').first.wait_for()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not faults
