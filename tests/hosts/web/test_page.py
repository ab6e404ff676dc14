"""The page in Gradio, without a browser: what it must not do."""

import asyncio
from importlib.util import find_spec

import pytest

from mmseg_g4seg.hosts.web.offline import POLICY, LocalOnly
from mmseg_g4seg.hosts.web.run import Runner
from mmseg_g4seg.hosts.web.scenes import SCENES

# Gradio takes seconds to import: each process that collects the tests would
pytestmark = pytest.mark.skipif(
    find_spec('gradio') is None, reason='no gradio: pip install --no-deps -r requirements/app.txt'
)


@pytest.fixture(scope='module')
def page():
    from mmseg_g4seg.hosts.web.page import build_page

    return build_page(Runner())


def test_no_file_of_a_visitors_choice_is_run(page):
    """Configs are Python: a request with another name than those of the page must not have it run."""
    import gradio as gr

    refiner = next(block for block in page.blocks.values() if block.elem_id == 'refiner')
    assert refiner.preprocess('PAMR alone') == 'PAMR alone'
    with pytest.raises(gr.Error, match='not in the list of choices'):
        refiner.preprocess('/tmp/evil.py')


def test_nothing_is_reported_and_no_function_is_offered_to_others(page):
    assert not page.analytics_enabled
    assert page.delete_cache == (60, 3600)
    assert {function.api_visibility for function in page.fns.values()} == {'private'}


def test_fonts_are_of_the_machine():
    from mmseg_g4seg.hosts.web.page import make_theme

    theme = make_theme()
    assert not theme._stylesheets
    assert '@import' not in theme._get_theme_css()
    assert 'url(http' not in theme._get_theme_css().replace('"', '')


def test_who_else_can_open_it_is_not_promised_privacy():
    from mmseg_g4seg.hosts.web.page import build_page

    def words(private: bool) -> str:
        blocks = build_page(Runner(), private=private).blocks.values()
        return next(block.value for block in blocks if block.elem_id == 'intro')

    assert 'Nothing leaves this machine' in words(True)
    assert 'Nothing leaves this machine' not in words(False)


def test_a_misspelt_refiner_is_an_error_before_the_page_is_there():
    from mmseg_g4seg.hosts.web.page import build_page

    with pytest.raises(FileNotFoundError, match='no such config file'):
        build_page(Runner(), ['nowhere.py'])


# the last one is a prior's whose numbers overflow in float16
@pytest.mark.parametrize('kind', [ValueError, FileNotFoundError, FloatingPointError])
def test_an_error_is_text(kind):
    import gradio as gr

    from mmseg_g4seg.hosts.web.events import in_words

    @in_words
    def fail() -> None:
        raise kind("got ['<img src=x>']")

    with pytest.raises(gr.Error) as error:
        fail()
    assert '&lt;img' in error.value.message
    assert error.value.duration is None


def test_a_request_for_a_file_that_was_not_uploaded(tmp_path, monkeypatch):
    import gradio as gr

    from mmseg_g4seg.hosts.web import events

    said = []
    monkeypatch.setattr(gr, 'Warning', lambda message, **_: said.append(message))
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path / 'kept'))
    assert events._readable({'path': str(SCENES[0].picture)}) is None
    assert events._readable({'path': str(tmp_path / 'kept/../other.png')}) is None
    assert said == ['picture: expected an upload'] * 2
    upload = tmp_path / 'kept/mine.png'
    upload.parent.mkdir()
    upload.write_bytes(SCENES[0].picture.read_bytes())
    assert events._readable({'path': str(upload)}) == gr.skip()


def test_the_browser_is_told_to_stay_here():
    sent = []

    async def app(scope, receive, send):
        await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'a', b'b')]})
        await send({'type': 'http.response.body', 'body': b''})

    async def send(message):
        sent.append(message)

    asyncio.run(LocalOnly(app)({'type': 'http'}, None, send))
    headers = dict(sent[0]['headers'])
    assert headers[b'content-security-policy'] == POLICY.encode()
    assert headers[b'a'] == b'b'
    assert 'http' not in POLICY
    assert 'headers' not in sent[1]
