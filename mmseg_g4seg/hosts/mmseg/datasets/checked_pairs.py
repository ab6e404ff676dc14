"""A data set that stops at once where files are missing, not in the middle of a run."""

from typing import Any

from mmseg.datasets import BaseSegDataset

from .file_wording import folder_problems, pair_problems, stop_at
from .pairs import find_pairs
from .settings import Folders


class CheckedPairs(BaseSegDataset):
    """Fails with a message where folders or files are missing.

    Raises:
        FileNotFoundError: on building, if a folder or the list is missing, there are no images, or an
            image has no label file. It names the folder, what was expected, the first file and how many.
    """

    stops = True
    """Whether it does; the examiner, which says everything at once, lists without."""

    def full_init(self) -> None:
        """Lists the images; some of mmseg's classes say nothing where a folder is missing."""
        folders = Folders.of(self)
        if self.stops:
            stop_at(type(self).__name__, folder_problems(folders.missing(), folders.root))
        super().full_init()

    def filter_data(self) -> list[dict[str, Any]]:
        """The images that mmseg would use, all of them there: mmengine fails on an empty list without a reason."""
        if self.stops:
            stop_at(type(self).__name__, pair_problems(find_pairs(self, self.data_list)))
        return super().filter_data()
