"""Draws coarse and refined masks side by side, with mmseg's own colours.

Shapes: H W image size; pictures (H, W, 3) uint8 RGB.
"""

import logging
from typing import Any

import mmcv
import numpy as np
from mmengine.dist import master_only
from mmengine.logging import print_log
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from mmseg_g4seg.evaluation.panels import lay_out

WINDOWLESS = ('agg', 'cairo', 'pdf', 'pgf', 'ps', 'svg', 'template')
"""matplotlib's back-ends that draw into files alone."""


@VISUALIZERS.register_module()
class RefinedSegVisualizer(SegLocalVisualizer):
    """`SegLocalVisualizer` for the samples of a `RefinedSegmentor`.

    From left to right: the image, the coarse mask, the masks between the refiners of a chain if asked
    for, the refined mask and, where the sample has it, the ground truth. All `vis_backends` get this
    picture. A sample that nobody refined is drawn as `SegLocalVisualizer` draws it.

    Args:
        name: of the instance.
        args: as for `SegLocalVisualizer`.
        show_stages: draw the masks between the refiners of a chain.
        kwargs: as for `SegLocalVisualizer`.
    """

    def __init__(self, name: str = 'visualizer', *args: Any, show_stages: bool = False, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.show_stages = show_stages

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        with_labels: bool = True,
        **kwargs: Any,
    ) -> None:
        """Draws a sample and gives the picture to a window, a file or all back-ends.

        Args:
            name: of the picture.
            image: (H, W, 3) uint8 RGB, of the size of the masks.
            data_sample: with the masks.
            draw_gt: draw the ground truth.
            draw_pred: draw the predictions.
            show: show a window.
            wait_time: for so many seconds; with 0 until a key is pressed.
            out_file: path of a file, which is written in place of the back-ends' pictures.
            step: of the back-ends' records.
            with_labels: write class names onto the masks.
            kwargs: what else `SegLocalVisualizer` takes, for samples that nobody refined.
        """
        if data_sample is None or not draw_pred or 'coarse_sem_seg' not in data_sample:
            super().add_datasample(
                name, image, data_sample, draw_gt, draw_pred, show, wait_time, out_file, step, with_labels, **kwargs
            )
            return
        classes, palette = self.dataset_meta['classes'], self.dataset_meta['palette']
        panels = [('image', image)]
        for title, key in self._masks(data_sample, draw_gt):
            panels.append((title, self._draw_sem_seg(image, data_sample.get(key), classes, palette, with_labels)))
        drawn = lay_out(panels)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(mmcv.rgb2bgr(drawn), out_file)
        else:
            self.add_image(name, drawn, step)

    def _masks(self, sample: SegDataSample, draw_gt: bool) -> list[tuple[str, str]]:
        """Title and field of every mask to draw."""
        between = sample.get('stage_names', [])[:-1] if self.show_stages else []
        masks = [('coarse', 'coarse_sem_seg'), *((title, f'stage{i}_sem_seg') for i, title in enumerate(between))]
        masks.append(('refined', 'pred_sem_seg'))
        return [*masks, ('truth', 'gt_sem_seg')] if draw_gt and 'gt_sem_seg' in sample else masks

    @master_only
    def show(self, *args: Any, **kwargs: Any) -> Any:
        """Shows a picture in a window; without a display, says so once instead of waiting for its keys."""
        import matplotlib.pyplot as plt

        backend = plt.get_backend().lower()
        if kwargs.get('backend', 'matplotlib') != 'matplotlib' or backend not in WINDOWLESS:
            return super().show(*args, **kwargs)
        if not getattr(self, '_said_no_window', False):
            self._said_no_window = True
            print_log(
                f"no window can be shown: matplotlib's back-end is {backend!r}, which draws into files alone; "
                '--show-dir FOLDER writes the pictures',
                logger='current',
                level=logging.WARNING,
            )
        return None
