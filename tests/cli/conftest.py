"""Fixtures of the commands: a small dictionary of the shipped organism, and the roles of its latents."""

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import run
from features_fixtures import axes_dictionary

from interp.tsae import TSAEConfig

D = 64
SAE_LENS_CONFIG = {
    "architecture": "jumprelu",
    "d_in": D,
    "d_sae": 2 * D,
    "dtype": "float32",
    "device": "cpu",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "metadata": {},
}
FEW_PROBLEMS = ("--levels", "1", "2", "--problems", "8", "--group", "4", "--rollout-problems", "2")
FEW_LATENTS = ("--max-candidates", "2", "--random-latents", "2", "--matched-latents", "3", "--injection-texts", "8")
ROLES_FLAGS = (*FEW_PROBLEMS, *FEW_LATENTS)
"""Flags of `interp roles` that make it fast."""


@pytest.fixture(scope="session")
def axes_tsae(tmp_path_factory) -> Path:
    """The axes of the organism's residual at layer 2, saved like a dictionary fitted here."""
    path = tmp_path_factory.mktemp("dictionary") / "tsae"
    config = TSAEConfig(width=2 * D, k=8, blocks=(0.5, 0.5))
    replace(axes_dictionary(D, layer=2), config=config, sae_lens_cfg=SAE_LENS_CONFIG).save(path)
    return path


@pytest.fixture(scope="session")
def axes_roles(axes_tsae, tmp_path_factory) -> tuple[dict[str, Any], Path]:
    """What `interp roles --json` prints for that dictionary, and the roles it saves."""
    out, printed = tmp_path_factory.mktemp("roles") / "roles", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        assert run(patch, "roles", "--tsae", axes_tsae, *ROLES_FLAGS, "--out", out, "--json") == 0
    return json.loads(printed.getvalue()), out


@pytest.fixture(scope="session")
def roles_flags() -> tuple[str, ...]:
    return ROLES_FLAGS
