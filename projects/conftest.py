"""The tests of every project have the package's own fixtures, and its quick processes."""

from tests.conftest import parts, prior, pytest_runtestloop, pytest_unconfigure, quick_configs, same_draws  # noqa: F401
