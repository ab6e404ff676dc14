"""The scenes that ship with the page: a picture, coarse scores of a small network, and the true mask."""

from dataclasses import dataclass
from pathlib import Path

from mmseg_g4seg.io.config_files import PACKAGE

FOLDER = PACKAGE / 'assets' / 'scenes'
"""`python -m projects.demo.ship_scenes` writes it."""


@dataclass(frozen=True)
class Scene:
    """Files of one scene.

    Attributes:
        name: of its files.
        title: that a reader sees.
    """

    name: str
    title: str

    @property
    def picture(self) -> Path:
        """PNG, RGB."""
        return FOLDER / f'{self.name}.png'

    @property
    def scores(self) -> Path:
        """Coarse probabilities, `.npz`."""
        return FOLDER / f'{self.name}_coarse.npz'

    @property
    def truth(self) -> Path:
        """PNG of class indices."""
        return FOLDER / f'{self.name}_truth.png'

    @property
    def names(self) -> str:
        """Class names with commas between."""
        return ', '.join((FOLDER / f'{self.name}_classes.txt').read_text().split('\n')[:-1])


SCENES = (
    Scene('star', 'Star and crates'),
    Scene('mushroom', 'Mushroom in the water'),
    Scene('trees', 'Trees by a wall'),
)
