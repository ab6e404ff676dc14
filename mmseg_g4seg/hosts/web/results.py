"""The right column of the page in Gradio: the slider, figures, files, and the inside of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from .handlers import UPLOAD, Form, preview
from .steps import FIRST

COARSE_CAPTION, REFINED_CAPTION = '## Picture and coarse mask', '## Coarse mask and refined mask'
HINT = '<p class="hint">Press “Refine the mask”.</p>'
KEPT = 3600
"""Seconds that uploads and results are kept at most, while the page runs."""
FILES = ('Mask (PNG)', 'Scores (NPZ)', 'Config and inputs (ZIP)')
POINTING = """Left: what the prior made of your picture under the mask. Click a point of it. Right: your picture, bright
where it resembles that point, with a ring around the best match."""


@dataclass(frozen=True)
class Results:
    """The fields that the page fills, in its order."""

    caption: gr.Markdown
    slider: gr.ImageSlider
    position: gr.Slider
    summary: gr.HTML
    inside: gr.Column
    files: Sequence[gr.DownloadButton]
    rebuilt: gr.Image
    matched: gr.Image
    column: gr.Number
    line: gr.Number
    ask: gr.Button
    sentence: gr.Markdown
    chosen: gr.Dropdown
    regions: gr.Image
    counts: gr.HTML
    shown: gr.State


def build_results() -> Results:
    """Builds the column, with the first scene's picture and coarse mask."""
    pair = preview(Form(FIRST.picture, FIRST.names, UPLOAD, FIRST.scores, [], None, 'tiny', []))
    caption = gr.Markdown(COARSE_CAPTION, elem_id='caption')
    slider = gr.ImageSlider(
        pair, label='Before and after', show_label=False, max_height=640, buttons=['fullscreen'], elem_id='slider'
    )
    # Gradio's own handle takes a pointer alone
    position = gr.Slider(0, 100, 50, step=5, label='Where the two meet, per cent', elem_id='position')
    summary = gr.HTML(HINT, elem_id='summary', min_height=96)
    with gr.Column(visible=False, elem_id='inside') as inside:
        with gr.Row(elem_id='downloads'):
            files = [gr.DownloadButton(label, size='md', min_width=110) for label in FILES]
        with gr.Tab('Correspondence'):
            rebuilt, matched, column, line, ask, sentence = _correspondence()
        with gr.Tab('Too much, too little'):
            chosen = gr.Dropdown([], label='Class', elem_id='region-class')
            regions = _drawn('Regions', 'Regions that refinement took from the class, and that it added', 'regions')
            counts = gr.HTML('')
    first = caption, slider, position, summary, inside, files, rebuilt, matched, column, line, ask, sentence
    return Results(*first, chosen, regions, counts, gr.State(None, time_to_live=KEPT))


def _correspondence() -> tuple[gr.Image, gr.Image, gr.Number, gr.Number, gr.Button, gr.Markdown]:
    """A point of the reconstruction and its match; the numbers are for those who cannot point."""
    gr.Markdown(POINTING)
    with gr.Row():
        rebuilt = _drawn('Reconstruction', 'Reconstruction of the picture under its coarse mask', 'rebuilt')
        matched = _drawn('Its match in the picture', 'The picture, bright where it resembles the point', 'matched')
    with gr.Row(elem_id='point', equal_height=True):
        column = gr.Number(0, label='Column', precision=0, min_width=80)
        line = gr.Number(0, label='Row', precision=0, min_width=80)
        ask = gr.Button('Find its match', min_width=120)
    return rebuilt, matched, column, line, ask, gr.Markdown('', elem_id='sentence')


def _drawn(label: str, text: str, name: str) -> gr.Image:
    return gr.Image(label=label, interactive=False, buttons=[], elem_id=name, alt_text=text)
