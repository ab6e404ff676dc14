"""Ray, or a skip of the module that imports this: a conftest that skips would end in a traceback."""

import os

import pytest

os.environ['RAY_USAGE_STATS_ENABLED'] = '0'
ray = pytest.importorskip('ray', reason='Ray is not installed: pip install "mmseg_g4seg[ray]"')
