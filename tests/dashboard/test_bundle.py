"""The bundle is that of the sources beside it, and neither has a way to run data or to reach a network."""

import hashlib
import re
from pathlib import Path

import pytest

import interp.dashboard

PACKAGE = Path(interp.dashboard.__file__).parent
FRONTEND, STATIC = PACKAGE / "frontend", PACKAGE / "static"
SOURCES = sorted(file for file in (FRONTEND / "src").rglob("*") if file.is_file())
BUILD_FILES = ("build.mjs", "package-lock.json", "package.json", "tsconfig.json")
FORBIDDEN = (
    "dangerouslySetInnerHTML", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser",
    "createContextualFragment", "srcdoc", "eval(", "new Function", "fetch(", "XMLHttpRequest", "WebSocket",
    "EventSource", "sendBeacon", "importScripts", "serviceWorker",
)  # fmt: skip


def source_hash() -> str:
    """Hash of what the bundle is built from: path, zero byte, content, zero byte of each file, in order of paths."""
    files = {file.relative_to(FRONTEND).as_posix(): file for file in [*SOURCES, *map(FRONTEND.joinpath, BUILD_FILES)]}
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + files[name].read_bytes() + b"\0")
    return digest.hexdigest()


@pytest.mark.parametrize("name", ["dashboard.js", "dashboard.css"])
def test_the_bundle_was_built_from_these_sources(name):
    first = (STATIC / name).read_text(encoding="utf-8").split("\n", 1)[0]
    assert first == f"/* interp dashboard {source_hash()} */", "run `npm run build` in interp/dashboard/frontend"


@pytest.mark.parametrize("word", FORBIDDEN)
def test_no_source_has_a_way_to_run_data_or_to_load_anything(word):
    assert len(SOURCES) > 10
    assert [file.name for file in SOURCES if word in file.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("name", ["dashboard.js", "dashboard.css"])
def test_the_bundle_names_no_address_but_those_of_namespaces(name):
    addresses = set(re.findall(r"https?://[^\"'`)\s]+", (STATIC / name).read_text(encoding="utf-8")))
    assert {address for address in addresses if not address.startswith("http://www.w3.org/")} == set()


def test_the_bundle_is_small():
    assert sum(file.stat().st_size for file in STATIC.iterdir()) < 500_000
