"""Connects the page's fields with what the page does; errors are shown in the library's own words.

Shapes: H W size of the picture; what is drawn is (s H, s W, 3) uint8 RGB.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial, wraps
from html import escape
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import gradio as gr
import numpy as np

from . import handlers
from .drawing import class_legend, scale_of
from .handlers import MAKE, PAINT, UPLOAD, Form, MadeMask, Pair, Shown
from .inputs import named_classes, open_picture
from .parameters import parameter_values, read_choice
from .results import COARSE_CAPTION, HINT, REFINED_CAPTION, Results
from .run import Runner
from .scenes import SCENES, Scene
from .steps import Inputs, brush_of, canvas_of

FAULTS = (ValueError, TypeError, OSError, ImportError, RuntimeError, ArithmeticError, MemoryError)
QUIET: dict[str, Any] = {'show_progress': 'hidden', 'api_visibility': 'private'}
"""Of what answers at once: a spinner would only flicker."""
Handler = Callable[..., Any]


def in_words(function: Handler) -> Handler:
    """Shows the error of a handler as a message on the page, until the user closes it."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except FAULTS as error:
            # names and paths are the user's own text, and messages are HTML
            raise gr.Error(escape(str(error)), duration=None, print_exception=False) from error

    return run


def connect(inputs: Inputs, results: Results, runner: Runner) -> None:
    """Gives every field its action."""
    _connect_inputs(inputs, results)
    _connect_runs(inputs, results, runner)
    _connect_inside(results)


def _connect_inputs(inputs: Inputs, results: Results) -> None:
    cleared = [inputs.editor, inputs.mask_file, results.slider, results.caption, results.summary, results.inside]
    scene = [inputs.picture, inputs.names, inputs.colours, inputs.way, *cleared]
    for button, shipped in zip(inputs.scenes, SCENES, strict=True):
        button.click(partial(_choose, shipped), None, scene, **QUIET)
    # Gradio opens a picture before a handler sees it, and answers a damaged one with a list of all fields
    checked = inputs.picture.upload(_readable, inputs.picture, inputs.picture, preprocess=False, **QUIET)
    checked.then(_new_picture, inputs.picture, cleared, **QUIET)
    # not at every key: a name that is half written is no error
    typed = [inputs.names.blur, inputs.names.submit]
    gr.on(typed, _new_names, inputs.names, [inputs.colours, inputs.editor], **QUIET)
    inputs.way.change(
        lambda way: [gr.update(visible=way == own) for own in (UPLOAD, PAINT, MAKE)],
        inputs.way,
        [inputs.mask_file, inputs.editor, inputs.making],
        **QUIET,
    )
    inputs.refiner.change(_slider_values, inputs.refiner, list(inputs.sliders), **QUIET)
    inputs.mask_file.upload(_preview, inputs.form, [results.caption, results.slider], **QUIET)


def _connect_runs(inputs: Inputs, results: Results, runner: Runner) -> None:
    # one at a time: two would share the prior's memory, and its hooks
    slow: dict[str, Any] = {'show_progress_on': results.summary, 'concurrency_id': 'prior', 'api_visibility': 'private'}
    drawn = [results.caption, results.slider, results.summary]
    inputs.make.click(_maker(runner), [inputs.source, *inputs.form], [inputs.made, *drawn], **slow)
    ran = inputs.refine.click(_refiner(runner), inputs.form, [results.shown, *drawn, results.inside], **slow)
    # after the slider is there: what a user looks at first should not wait for the rest
    point = [results.rebuilt, results.matched, results.sentence, results.column, results.line]
    ran.success(
        _inside,
        results.shown,
        [*results.files, *point, results.chosen, results.regions, results.counts],
        **QUIET,
    )


def _connect_inside(results: Results) -> None:
    results.position.input(lambda share: gr.update(slider_position=share), results.position, results.slider, **QUIET)
    asked, numbers = [results.rebuilt, results.matched, results.sentence], [results.column, results.line]
    results.rebuilt.select(_clicked, results.shown, [*asked, *numbers], **QUIET)
    results.ask.click(_typed, [results.shown, *numbers], asked, **QUIET)
    results.chosen.input(
        in_words(handlers.show_regions),
        [results.shown, results.chosen],
        [results.regions, results.counts],
        **QUIET,
    )


def read_form(
    picture: str | None,
    names: str,
    way: str,
    mask_file: str | None,
    editor: dict[str, Any] | None,
    made: MadeMask | None,
    refiner: str,
    *values: float | None,
) -> Form:
    """The form of the fields' values, in the order of `Inputs.form`."""
    layers = [np.asarray(layer) for layer in (editor or {}).get('layers') or []]
    # a slider that is hidden has a value, too
    pairs = zip(parameter_values(read_choice(refiner)), values, strict=True)
    kept = [None if own is None else value for own, value in pairs]
    file, mask = (Path(path) if path else None for path in (picture, mask_file))
    return Form(file, names, way, mask, layers, made, refiner, kept)


def _choose(scene: Scene) -> list[Any]:
    form = Form(scene.picture, scene.names, UPLOAD, scene.scores, [], None, 'tiny', [])
    classes = named_classes(scene.names)
    editor = gr.update(value=canvas_of(scene.picture), brush=brush_of(len(classes)))
    given = [str(scene.picture), scene.names, class_legend(classes), UPLOAD, editor, str(scene.scores)]
    return [*given, handlers.preview(form), COARSE_CAPTION, HINT, gr.update(visible=False)]


def _readable(payload: dict[str, Any] | None) -> Any:
    """Takes an uploaded picture off the page where it cannot be read, with a message."""
    if payload is None:
        return None
    path = Path(payload['path']).resolve()
    try:
        # unchecked by Gradio here: who writes his own request must not have any file of this machine opened
        if not path.is_relative_to(_folder().resolve()):
            raise ValueError('picture: expected an upload')
        open_picture(path)
    except FAULTS as error:
        gr.Warning(escape(str(error)), duration=None, title='Error')
        return None
    return gr.skip()


def _folder() -> Path:
    """Where uploads and results lie."""
    return Path(os.environ.get('GRADIO_TEMP_DIR', gettempdir()))


@in_words
def _new_picture(picture: str | None) -> list[Any]:
    # the old picture's mask fits in size at best
    hint = '<p class="hint">Name the classes, give a coarse mask, then press “Refine the mask”.</p>'
    return [canvas_of(picture), None, None, COARSE_CAPTION, hint, gr.update(visible=False)]


@in_words
def _new_names(names: str) -> list[Any]:
    classes = named_classes(names)
    return [class_legend(classes), gr.update(brush=brush_of(len(classes)))]


@in_words
def _slider_values(refiner: str) -> list[Any]:
    values = parameter_values(read_choice(refiner))
    return [gr.update(visible=False) if value is None else gr.update(visible=True, value=value) for value in values]


@in_words
def _preview(*fields: Any) -> tuple[str, Pair]:
    return COARSE_CAPTION, handlers.preview(read_form(*fields))


def _maker(runner: Runner) -> Callable[..., tuple[MadeMask, str, Pair]]:
    @in_words
    def make(source: str, *fields: Any, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        progress(0.1, 'Making a coarse mask')
        made, pair = handlers.make(runner, read_form(*fields), source)
        return [made, COARSE_CAPTION, pair, HINT]

    return make


def _refiner(runner: Runner) -> Callable[..., list[Any]]:
    @in_words
    def refine(*fields: Any, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        shown = handlers.refine(runner, read_form(*fields), progress, folder=_folder())
        return [shown, REFINED_CAPTION, shown.pair, shown.summary, gr.update(visible=True)]

    return refine


@in_words
def _inside(shown: Shown) -> list[Any]:
    """Files, reconstruction, a first point in the middle, and the class that changed most."""
    files = [gr.update(value=str(path)) for path in vars(shown.files).values()]
    names, chosen = handlers.most_changed(shown)
    point: Sequence[Any] = (None, None, 'This refiner reconstructs nothing.', 0, 0)
    if shown.outcome.correspondence is not None:
        height, width = shown.picture.size
        point = (*_typed(shown, width // 2, height // 2), width // 2, height // 2)
    return [*files, *point, gr.update(choices=names, value=chosen), *handlers.show_regions(shown, chosen)]


@in_words
def _clicked(shown: Shown | None, event: gr.SelectData) -> list[Any]:
    column, row = event.index
    scale = 1 if shown is None else scale_of(shown.picture.pixels)
    return [*handlers.match_point(shown, column, row), column // scale, row // scale]


@in_words
def _typed(shown: Shown | None, column: float | None, row: float | None) -> Sequence[Any]:
    scale = 1 if shown is None else scale_of(shown.picture.pixels)
    return handlers.match_point(shown, int(column or 0) * scale, int(row or 0) * scale)
