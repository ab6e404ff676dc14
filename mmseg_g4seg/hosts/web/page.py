"""The page of `g4seg app` in Gradio: its fields, and a server for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from .events import connect
from .offline import LocalOnly
from .parameters import REFINERS, read_choice
from .results import KEPT, build_results
from .run import Runner
from .scenes import FOLDER
from .steps import build_inputs

STYLE = Path(__file__).with_name('page.css')
FONTS = ('system-ui', '-apple-system', 'Segoe UI', 'Roboto', 'Noto Sans', 'Liberation Sans', 'Arial', 'sans-serif')
"""Of the machine: a font by name alone, as Gradio has them, is fetched from Google."""
LARGEST_UPLOAD = '50mb'
INTRODUCTION = """# Refine a segmentation mask
A diffusion model looks at your picture under a coarse mask, and corrects the mask where it was unsure. Take a scene, or
your own picture."""
PRIVATE = ' Nothing leaves this machine.'


def build_page(runner: Runner, refiners: Sequence[str] = (), *, private: bool = True) -> gr.Blocks:
    """Builds the page.

    Args:
        runner: does the work.
        refiners: config files and folders that the page offers beside its own; the first one is chosen.
        private: whether this machine alone can open it, which it says then.

    Raises:
        FileNotFoundError: if one is not there.
        ValueError: if one holds no refiner.
    """
    for source in refiners:
        read_choice(source)  # a misspelt name should not wait for the first click
    with gr.Blocks(title='Refine a mask · mmseg_g4seg', analytics_enabled=False, delete_cache=(60, KEPT)) as page:
        gr.Markdown(INTRODUCTION + PRIVATE if private else INTRODUCTION, elem_id='intro')
        with gr.Row(elem_id='columns'):
            with gr.Column(scale=5, min_width=320, elem_id='inputs'):
                inputs = build_inputs([*refiners, *REFINERS])
            with gr.Column(scale=7, min_width=320, elem_id='results'):
                results = build_results()
        connect(inputs, results, runner)
    return page


@contextmanager
def serve(
    refiners: Sequence[str] = (),
    *,
    device: str = 'cpu',
    host: str = '127.0.0.1',
    port: int | None = None,
    share: bool = False,
    browser: bool = False,
) -> Iterator[str]:
    """Serves the page while the block runs; gives its address.

    Args:
        refiners: see `build_page`.
        device: to run on.
        host: address to listen on.
        port: the first free one from 7860 on when not given.
        share: whether Gradio's servers give it a public address.
        browser: whether to open it.

    Raises:
        OSError: if the port is taken, or a refiner's file is not there.
        ValueError: if a refiner's file holds none.
    """
    page = build_page(Runner(device), refiners, private=not share and host in ('127.0.0.1', 'localhost', '::1'))
    try:
        _, local, public = page.queue(default_concurrency_limit=1).launch(
            server_name=host,
            server_port=port,
            share=share,
            inbrowser=browser,
            prevent_thread_lock=True,
            quiet=True,
            show_error=True,
            footer_links=[],
            run_history=False,  # it would keep pictures in the browser
            ssr_mode=False,
            max_file_size=LARGEST_UPLOAD,
            allowed_paths=[str(FOLDER)],
            theme=make_theme(),
            css_paths=STYLE,
            app_kwargs={'middleware': [Middleware(LocalOnly)]},
        )
        yield public or local
    finally:
        page.close(verbose=False)


def make_theme() -> gr.themes.Base:
    """Quiet colours and fonts of the machine."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.sky,
        neutral_hue=gr.themes.colors.slate,
        font=FONTS,
        font_mono=('ui-monospace', 'Menlo', 'Consolas', 'monospace'),
    ).set(
        color_accent='#0a64ad',
        button_primary_background_fill='#0a64ad',
        button_primary_background_fill_hover='#084f8a',
        button_primary_background_fill_dark='#0a64ad',
        button_primary_background_fill_hover_dark='#084f8a',
        button_primary_text_color='white',
        block_label_text_color='*body_text_color',
        block_title_text_color='*body_text_color',
        body_text_color_subdued='#565e69',
        body_text_color_subdued_dark='#a9b1bb',
    )
