"""The tests of every project have the package's own fixtures."""

from tests.conftest import parts, prior, quick_configs, same_draws  # noqa: F401
