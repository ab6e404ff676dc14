"""The left column of the page in Gradio: picture, names, coarse mask, refiner."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from .drawing import class_legend, enlarge
from .handlers import MAKE, PAINT, SOURCES, UPLOAD
from .inputs import class_colours, named_classes, open_picture
from .parameters import PARAMETERS, parameter_values, read_choice
from .scenes import SCENES

TINY = """The embedded prior knows the scenes' classes alone. For photographs start the page with a larger one:
`g4seg app --refiner mmseg_g4seg::_base_/refiners/g4seg_sd21.py`"""
FIRST = SCENES[0]


@dataclass(frozen=True)
class Inputs:
    """The fields that a user fills, in the order of the page."""

    picture: gr.Image
    scenes: Sequence[gr.Button]
    names: gr.Textbox
    colours: gr.HTML
    way: gr.Radio
    mask_file: gr.File
    editor: gr.ImageEditor
    making: gr.Row
    source: gr.Dropdown
    make: gr.Button
    refiner: gr.Dropdown
    sliders: Sequence[gr.Slider]
    refine: gr.Button
    made: gr.State

    @property
    def form(self) -> list[Any]:
        """The fields that make a `Form`, in the order of `events.read_form`."""
        fields = [self.picture, self.names, self.way, self.mask_file, self.editor, self.made, self.refiner]
        return [*fields, *self.sliders]


def build_inputs(refiners: Sequence[str]) -> Inputs:
    """Builds the column, filled with the first scene.

    Args:
        refiners: that may be chosen; the first one is.
    """
    with gr.Group(elem_classes='step'):
        gr.Markdown('## 1. Picture')
        picture, scenes = _picture()
    with gr.Group(elem_classes='step'):
        gr.Markdown('## 2. Classes')
        rule = 'With commas between. One called background is never refined.'
        names = gr.Textbox(FIRST.names, label='Names', info=rule, lines=2, elem_id='names')
        colours = gr.HTML(class_legend(named_classes(FIRST.names)))
    with gr.Group(elem_classes='step'):
        gr.Markdown('## 3. Coarse mask')
        way, mask_file, editor = _mask()
        with gr.Row(visible=False) as making:
            source = gr.Dropdown(list(SOURCES), value='SeeDiff', label='Method', min_width=140)
            make = gr.Button('Make a coarse mask', elem_id='make', min_width=140)
    with gr.Group(elem_classes='step'):
        gr.Markdown('## 4. Refiner')
        refiner = gr.Dropdown(list(refiners), value=refiners[0], label='Refiner', show_label=False, elem_id='refiner')
        with gr.Accordion('Parameters', open=False):
            sliders = _sliders(refiners[0])
        gr.Markdown(TINY, elem_classes='note')
    refine = gr.Button('Refine the mask', variant='primary', size='lg', elem_id='refine')
    given = picture, scenes, names, colours, way, mask_file, editor, making, source, make, refiner, sliders, refine
    return Inputs(*given, gr.State(None))


def brush_of(count: int) -> gr.Brush:
    """A brush of the colours of so many classes, and of no other."""
    colours: list[str | tuple[str, float]] = ['#{:02x}{:02x}{:02x}'.format(*c) for c in class_colours(count)]
    return gr.Brush(colors=colours, default_color=colours[0], color_mode='fixed')


def canvas_of(picture: str | Path | None) -> Any:
    """The editor's value for a picture without strokes; enlarged, so that a brush has pixels to paint in."""
    if picture is None:
        return None
    return {'background': enlarge(open_picture(Path(picture)).pixels), 'layers': [], 'composite': None}


def _picture() -> tuple[gr.Image, list[gr.Button]]:
    picture = gr.Image(
        str(FIRST.picture),
        type='filepath',
        image_mode=None,  # the file itself: Gradio would turn 16 bits into 8 without a word
        sources=['upload', 'clipboard'],
        label='Picture',
        show_label=False,
        height=190,
        buttons=[],
        elem_id='picture',
        alt_text='The picture to refine the mask of',
    )
    with gr.Row(elem_id='scenes'):
        return picture, [gr.Button(s.title, icon=str(s.picture), size='sm', min_width=90) for s in SCENES]


def _mask() -> tuple[gr.Radio, gr.File, gr.ImageEditor]:
    way = gr.Radio([UPLOAD, PAINT, MAKE], value=UPLOAD, label='Where it comes from', show_label=False)
    mask_file = gr.File(
        str(FIRST.scores),
        file_types=['.png', '.npy', '.npz'],
        label='PNG of class indices, or scores (.npz, .npy)',
        height=110,
        elem_id='mask-file',
    )
    editor = gr.ImageEditor(
        canvas_of(FIRST.picture),
        visible=False,
        type='numpy',
        sources=[],
        transforms=(),
        layers=False,
        label='Paint each class in its colour',
        brush=brush_of(len(named_classes(FIRST.names))),
        buttons=[],
        elem_id='editor',
        height=420,
    )
    return way, mask_file, editor


def _sliders(refiner: str) -> list[gr.Slider]:
    pairs = zip(PARAMETERS, parameter_values(read_choice(refiner)), strict=True)
    return [
        gr.Slider(p.low, p.high, p.default if v is None else v, step=p.step, label=p.label, visible=v is not None)
        for p, v in pairs
    ]
