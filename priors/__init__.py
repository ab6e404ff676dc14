"""Small diffusion priors that mmseg_g4seg finds by name: `load_refiner('street')`, `load_refiner('animals')`."""

from pathlib import Path

STREET = Path(__file__).parent / 'street'
ANIMALS = Path(__file__).parent / 'animals'
