"""A method's seed files of the images that VOC12 trains on."""

from dataclasses import dataclass
from pathlib import Path

from mmseg_g4seg.io.formats import SEEDS

from .records import SeedRun

VOC = Path('VOCdevkit/VOC2012')
NAMES = VOC / 'ImageSets/Segmentation/train.txt'


@dataclass(frozen=True)
class Seeds:
    """Attributes:
    folder: in which the method saved them, with those of other images perhaps.
    files: those of training images that there are.
    listed: number of training images.
    """

    folder: Path
    files: tuple[Path, ...]
    listed: int

    def link(self, folder: Path) -> None:
        """Lets a folder, which holds nothing else, have links to the files."""
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for file in self.files:
            (folder / file.name).symlink_to(file.absolute())


def find_seeds(run: SeedRun, data: Path) -> Seeds:
    """The seeds of a row below the folder of data sets; none while the list of names is missing."""
    folder, names = data / 'seeds' / run.seeds, data / NAMES
    listed = names.read_text().split() if names.is_file() else []
    files = (folder / (name + SEEDS[run.format].suffix) for name in listed)
    return Seeds(folder, tuple(file for file in files if file.is_file()), len(listed))
