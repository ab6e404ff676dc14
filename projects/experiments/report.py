"""The page of a run, beside its results."""

from collections.abc import Sequence
from pathlib import Path
from pprint import pformat

from mmseg_g4seg.evaluation.files import write_report
from mmseg_g4seg.evaluation.html.extremes import extreme_records
from mmseg_g4seg.evaluation.html.notes import describe_run
from mmseg_g4seg.evaluation.html.pictures import Picture, draw_picture
from mmseg_g4seg.evaluation.records import COARSE, REFINED, ImageRecord
from mmseg_g4seg.prediction import IGNORE_INDEX
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.build import build_refiner

from .plan import ImageSet, Run
from .run import read_case
from .table import build_set_report


def write_run_report(
    run: Run,
    image_set: ImageSet,
    records: Sequence[ImageRecord],
    folder: Path,
    *,
    pictures: int,
    device: str = 'cpu',
    block: int = 1,
) -> None:
    """Writes `report.html`, `metrics.json` and the tables of a run, its refined masks against its own coarse ones.

    Args:
        run: of the report.
        image_set: of the run.
        records: of its images.
        folder: that the files go into.
        pictures: of the images that gained most, and as many of those that lost most; these are refined once more.
        device: to refine on.
        block: see `build_report`.
    """
    drawn = []
    if chosen := extreme_records(records, pictures):
        refiner = build_refiner(run.refiner)
        assert refiner is not None
        refiner.to(device)
        drawn = [draw(record, image_set, refiner) for record in chosen]
    notes = describe_run(f'{run.name}, {run.set_name}', {'Refiner': pformat(run.refiner, sort_dicts=False)})
    write_report(build_set_report(image_set, records, block=block), folder, notes=notes, pictures=drawn)


def draw(record: ImageRecord, image_set: ImageSet, refiner: Refiner) -> Picture:
    """Refines one image of a set and draws it."""
    case = read_case(record.name, image_set)
    classes = image_set.reader().classes.with_options(refiner.class_options)
    refined = refiner.refine(case.image, case.coarse, classes, key=case.key)
    maps = {COARSE: case.coarse.label_map.cpu(), REFINED: refined.label_map.cpu()}
    pixels = (case.image.permute(1, 2, 0) * 255).round().byte().numpy()  # (H, W, 3)
    return draw_picture(record, pixels, maps, case.truth, classes, ignore_index=IGNORE_INDEX)
