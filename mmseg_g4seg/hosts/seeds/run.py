"""Writes seeds, a job an image; a run that was killed goes on where it stopped.

Shapes: C classes, H W image size.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmseg_g4seg.coarse import CoarseSource
from mmseg_g4seg.hosts.folder.faults import BadFile
from mmseg_g4seg.hosts.folder.run_state import RunState
from mmseg_g4seg.hosts.folder.shares import Work, Worker, fixed_threads, spread
from mmseg_g4seg.io.background_rule import BackgroundRule
from mmseg_g4seg.io.formats import SEEDS, build_format
from mmseg_g4seg.io.image_tags import ImageTags
from mmseg_g4seg.io.images import read_image
from mmseg_g4seg.io.mask_files import MaskFormat
from mmseg_g4seg.ops.masks import present_classes

from .task import SeedsTask


@dataclass(frozen=True)
class SeedJob:
    """One image.

    Attributes:
        name: of the image, without suffix.
        images: its file; none or several are an error.
        result: file of its seeds.
    """

    name: str
    images: list[Path]
    result: Path

    @property
    def inputs(self) -> list[Path]:
        """The files that it is made of; not the tags, which all images share."""
        return list(self.images)

    @property
    def results(self) -> list[Path]:
        """The files that are written for it."""
        return [self.result]


class SeedWorker(Worker):
    """Makes the seeds of images, one a call; its source is loaded at the first one."""

    task: SeedsTask

    @cached_property
    def source(self) -> CoarseSource:
        return self.task.load()

    @cached_property
    def writer(self) -> MaskFormat:
        """Encodes scores so that who reads them by the source's own rule gets the source's own masks."""
        return build_format(self.task.format, self.task.classes, rule=background_rule(self.source))

    @cached_property
    def tags(self) -> ImageTags:
        return ImageTags(self.task.tags, self.task.classes)

    def __call__(self, job: SeedJob) -> BadFile | None:
        """Writes the seeds of an image and its record; or notes the file that is at fault, and returns that."""
        path = self.task.tags
        try:
            shown = self.tags(job.name)
            path = self.task.images / job.name
            if len(job.images) != 1:
                raise ValueError(f'expected one image of this name, got {len(job.images)}')
            path = job.images[0]
            with fixed_threads(self.task.threads):
                content, record = self._make(path, shown)
            self.state.save(job, [content], record)
        except ImportError:  # the environment's fault, and so every file's
            raise
        except Exception as error:
            fault = BadFile(path, f'{type(error).__name__}: {error}')
            self.state.fail(job, fault.path, fault.reason)
            return fault
        return None

    def _make(self, path: Path, shown: list[int]) -> tuple[bytes, dict[str, Any]]:
        classes = self.task.classes
        # as the folder host names images, so that what is drawn at random is the same there
        found = self.source.predict_present(read_image(path), classes, shown, key=path.name)
        covered = present_classes(found.label_map, len(classes))
        record = {
            'classes': [classes.labels[c] for c in shown],
            'without': [classes.labels[c] for c in shown if c not in covered],
        }
        return self.writer.encode(found), record


def background_rule(source: CoarseSource) -> BackgroundRule:
    """The rule by which a source scores the background; the files' usual one where it has none."""
    return getattr(source, 'background_rule', BackgroundRule())


def make_seeds(task: SeedsTask, *, workers: int = 1, overwrite: bool = False) -> dict[str, Any]:
    """Writes the seeds of a folder of images; called again after a kill it goes on.

    Under torchrun every process takes a share, on its own GPU where there are several.

    Args:
        task: what to do.
        workers: processes to start; not under torchrun.
        overwrite: start anew.

    Returns:
        The report, as in `OUT/report.json`, in the first process; in the others an empty one.

    Raises:
        OSError: if a model or file is missing.
        ValueError: if something does not fit the source; nothing is written then.
        FileExistsError: if the folder holds something else, or another run is at work there.
        RuntimeError: if a worker ended before its share did.
    """

    def find_work() -> Work:
        files = task.find_images()
        # an option that does not fit is the whole run's fault, not that of its first image
        source = task.load()
        worker = SeedWorker(task, RunState(task.out, task.settings(background_rule(source))))
        if workers == 1:  # otherwise each process loads its own: this one's would be gigabytes that nobody reads
            worker.source = source
        suffix = build_format(task.format, task.classes).suffix
        jobs = [SeedJob(name, paths, task.out / (name + suffix)) for name, paths in files.items()]
        worker.state.begin([job.result for job in jobs], overwrite=overwrite)
        return Work(worker, jobs, lambda: _finish(worker, jobs))

    return spread(task.out, find_work, workers=workers, title='seeds', unit='image')


def _finish(worker: SeedWorker, jobs: list[SeedJob]) -> dict[str, Any]:
    report = worker.state.finish([job.name for job in jobs], {})
    worker.state.close()
    without = sum(bool(image['without']) for image in report['images'])
    settings, errors = report['settings'], report['errors']
    rule = f' --background-rule {settings["background_rule"]}' if settings['format'] in SEEDS else ''
    lines = [
        f'{len(report["images"])} seeds written, {without} of them without a pixel of one of their classes; '
        f'{len(errors)} errors',
        *(f'  {error["path"]}: {error["error"]}' for error in errors),
        f'read them with --format {settings["format"]}' + rule,
    ]
    return {**report, 'summary': '\n'.join(lines)}
