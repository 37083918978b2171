"""The name of a model on a hub, where a directory is expected: nothing is fetched, and the message says what to do."""

from pathlib import Path

import pytest

from interp.artifacts import BadInput
from interp.policy import Policy
from interp.policy.fingerprints import fingerprint_of
from interp.rollouts import Series

OPENS = (Policy.load, fingerprint_of, lambda name: Series.from_dirs([name]))


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.mark.parametrize("opens", OPENS)
def test_a_name_says_how_to_bring_the_model_here(opens):
    with pytest.raises(BadInput) as caught:
        opens("HuggingFaceTB/SmolLM2-135M-Instruct")
    message = str(caught.value)
    assert (
        "expected a local Hugging Face directory, got nothing there. If it is the name of a model on a hub" in message
    )
    assert (
        "hf download HuggingFaceTB/SmolLM2-135M-Instruct --local-dir DIRECTORY, copy that here and name it" in message
    )


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE"])
@pytest.mark.parametrize("opens", OPENS)
def test_a_model_in_the_cache_of_this_machine_is_named_by_its_place(opens, variable, tmp_path, monkeypatch):
    cache = tmp_path / "hf" / "hub" if variable == "HF_HOME" else tmp_path / "elsewhere"
    if variable == "HF_HUB_CACHE":
        monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    snapshot = cache / "models--org--name" / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="it is in the cache of this machine: name") as caught:
        opens("org/name")
    assert str(caught.value).endswith(f"name {snapshot}")


def test_a_directory_of_that_name_is_a_directory(tmp_path, tiny_dirs):
    Path("org").mkdir()
    Path("org/name").symlink_to(tiny_dirs["qwen3"])
    assert Policy.load("org/name").n_layers == 3


@pytest.mark.parametrize("path", ["/nowhere/at all", "deeper/than/a-name", "name"])
def test_a_path_that_is_no_name_is_only_not_there(path):
    with pytest.raises(BadInput, match=r"got nothing there \(models of a hub are not fetched: download it first\)"):
        Policy.load(path)
