"""The package `interp.stats` is light to import, and every public name exists."""

import subprocess
import sys

import pytest

from interp import stats


def test_statistics_import_neither_torch_nor_scipy_before_they_are_used():
    code = "import sys, interp.stats; print(sorted({'torch', 'scipy', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_shares_and_seeds_need_no_torch():
    code = "import sys; from interp.stats import bounded_interval, clustered_share, holm; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize("name", stats.__all__)
def test_every_public_name_exists_and_is_no_module(name):
    assert not hasattr(getattr(stats, name), "__path__") and type(getattr(stats, name)).__name__ != "module"


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="has no attribute 'means'"):
        stats.means  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018
