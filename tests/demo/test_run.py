"""The demo from end to end with little of everything: stopped at every stage, resumed, as text, as JSON, as a page."""

import contextlib
import io
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from commands import run
from features_fixtures import make_roles, make_trial

from interp.demo import plan
from interp.demo.stages import ARMS, FEATURES, Stages
from interp.features import Roles, RolesConfig
from interp.plots import SCRIPT
from interp.policy import SampleConfig
from interp.tracking import CompareConfig

SAMPLING = SampleConfig(group=2, rows=256)
TINY = plan.Sizes(
    problems=2,
    answers=2,
    checkpoints=1,
    fit_tokens=8_000,
    held_out_tokens=2_000,
    documents=8,
    width=128,
    roles=RolesConfig(
        levels=(1, 2),
        problems=6,
        max_candidates=1,
        random_latents=1,
        matched_latents=2,
        injection_texts=4,
        rollout_problems=0,
        sampling=SAMPLING,
    ),
    tracking=CompareConfig(problems=9, loss_rollouts=0, sampling=SAMPLING),
)
STAGES = ("interp.rollouts.evaluate", "interp.grpo.train", "interp.tsae.fit", "interp.features.earn_roles",
          "interp.tracking.track", "interp.tracking.compare")  # fmt: skip
"""What each stage calls, in order."""
SECTIONS = ("The base", "GRPO", "A temporal SAE", "Roles", "Latents in deep training", "Deep less middle", "Deep again")
INTERVAL = re.compile(r"\d \[[-+]?\d+, [-+]?\d+\]")


def run_tiny(out: Path, *words: str) -> tuple[int, str]:
    """Exit code and output of a tiny demo."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as output:
        patch.setattr(plan, "SIZES", TINY)
        code = run(patch, "demo", "--train-steps", "1", "--fit-steps", "20", "--out", str(out), *words)
    return code, output.getvalue()


def interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def saved_files(out: Path) -> dict[Path, int]:
    """Time of change of every file that takes long to make."""
    return {
        path: path.stat().st_mtime_ns for kind in ("safetensors", "parquet", "json") for path in out.rglob(f"*.{kind}")
    }


@dataclass(frozen=True)
class Interrupted:
    out: Path
    stops: list[tuple[int, str, dict[Path, int]]]
    """Exit code, output and saved files after an interrupt at each stage."""
    text: str
    """Output of the run that finished."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Interrupted:
    """A demo interrupted at the start of every stage, each time resumed, and finished at last."""
    out, stops = tmp_path_factory.mktemp("demo"), []
    for stage in STAGES:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage, interrupt)
            code, text = run_tiny(out)
        stops.append((code, text, saved_files(out)))
    code, text = run_tiny(out)
    assert code == 0
    return Interrupted(out, stops, text)


def sections_of(text: str) -> dict[str, list[str]]:
    """Lines of each numbered section, by title."""
    sections: dict[str, list[str]] = {}
    for line in text.splitlines():
        if re.match(r"\d ", line):
            sections[line[2:]] = []
        elif line.startswith("  "):
            list(sections.values())[-1].append(line)
    return {next(title for title in SECTIONS if head.startswith(title)): lines for head, lines in sections.items()}


def test_an_interrupted_demo_keeps_every_stage_that_was_done(demo):
    assert [code for code, _, _ in demo.stops] == [130] * len(STAGES)
    finished = [len(sections_of(text)) for _, text, _ in demo.stops]
    assert finished == sorted(finished) and finished[0] == 0 and finished[-1] == 5
    for (_, _, before), (_, _, after) in zip(demo.stops, demo.stops[1:], strict=False):
        assert len(after) > len(before) and {path: after[path] for path in before} == before


def test_every_stage_prints_a_table_and_all_fits_on_a_screen(demo):
    lines = demo.text.splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 100
    sections = sections_of(demo.text)
    assert tuple(sections) == SECTIONS[:6]
    assert all(len(lines) >= 2 for lines in sections.values())


def test_shares_have_intervals_and_findings_have_controls(demo):
    sections = sections_of(demo.text)
    for title in ("The base", "GRPO", "Roles", "Deep less middle"):
        assert any(INTERVAL.search(line) for line in sections[title]), title
    for title in ("Roles", "Latents in deep training", "Deep less middle"):
        assert any("control" in line for line in sections[title]), title
    assert any("pass" in line and "valid" in line for line in sections["GRPO"])


def test_a_finished_demo_is_opened_and_gives_all_results_as_json(demo):
    before = saved_files(demo.out)
    code, text = run_tiny(demo.out, "--json")
    assert code == 0 and saved_files(demo.out) == before
    result = json.loads(text)
    assert set(result["evaluations"]) == {"base", *ARMS} and {"fve", "l0", "ce_recovered"} <= set(result["dictionary"])
    assert {"summary", "table"} == set(result["roles"]) and {"drift"} < set(result["tracks"])
    assert {"summary", "table", "relations", "behavior"} == set(result["comparison"])
    assert result["page"] == str(demo.out / "demo.html") and "training" in result["seconds"]


def test_fewer_steps_end_the_demo_earlier(demo, tmp_path):
    code, text = run_tiny(demo.out, "--fit-steps", "0")
    assert code == 0 and tuple(sections_of(text)) == SECTIONS[:2]
    code, text = run_tiny(tmp_path, "--train-steps", "0")
    assert code == 0 and tuple(sections_of(text)) == SECTIONS[:1]


def test_another_seed_is_saved_beside_the_first(demo):
    runs = {path.name for path in demo.out.iterdir()}
    code, _ = run_tiny(demo.out, "--fit-steps", "0", "--seed", "1")
    assert code == 0 and len({path.name for path in demo.out.iterdir()} - runs) == len(ARMS)


# --- feature credit ----------------------------------------------------------------------------------------------


def roles_of(*families: str) -> Any:
    """An `earn_roles` stage in which one latent has the role of each family."""
    contrasts = {"shortcut": "direct", "computation": "result 3"}

    def earn_roles(stages: Stages, tsae: Any) -> Roles:
        trials = [make_trial(i, family, contrasts[family]) for i, family in enumerate(families)]
        return make_roles(*trials, tsae=tsae, policy=stages.base.fingerprint())

    return earn_roles


def test_deep_is_trained_again_with_credit_by_the_latents_that_have_roles(demo, monkeypatch):
    monkeypatch.setattr(Stages, "earn_roles", roles_of("shortcut", "computation"))
    code, text = run_tiny(demo.out)
    assert code == 0 and len(text.splitlines()) <= 40 and max(map(len, text.splitlines())) <= 100
    assert "1 shortcut, 1 computation" in text
    section = sections_of(text)["Deep again"]
    assert sum(bool(INTERVAL.search(line)) for line in section) == 3 and "Control" in section[-1]
    headings = Page((demo.out / "demo.html").read_text()).headings
    assert [heading[: len(title) + 2] for heading, title in zip(headings, SECTIONS, strict=True)] == [
        f"{number} {title}" for number, title in enumerate(SECTIONS, 1)
    ]
    result = json.loads(run_tiny(demo.out, "--json")[1])
    assert FEATURES in result["evaluations"]


def test_without_roles_the_demo_says_that_deep_is_not_trained_again(demo, monkeypatch):
    monkeypatch.setattr(Stages, "earn_roles", roles_of())
    code, text = run_tiny(demo.out)
    assert code == 0 and "No latent has earned a role that credit uses" in text
    assert max(map(len, text.splitlines())) <= 100
    assert "Deep again" not in sections_of(text)


# --- the page ----------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Headings, figures and tables of a page, and everything that it would load from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.figures = self.tables = self.long_scripts = 0
        self.loads: list[str] = []
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag, values = tag, dict(attrs)
        self.loads += [str(values[name]) for name in ("src", "href", "data", "srcset") if name in values]
        self.figures += str(values.get("id", "")).startswith("figure-")
        self.tables += tag == "table"

    def handle_data(self, data: str) -> None:
        if self._tag == "h2" and data.strip():
            self.headings.append(data)
        self.long_scripts += self._tag == "script" and len(data) > 1_000_000
        self.loads += ["@import"] if self._tag == "style" and ("@import" in data or "url(" in data) else []

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""


def test_the_page_has_every_section_and_loads_nothing(demo):
    run_tiny(demo.out)
    page = Page((demo.out / "demo.html").read_text())
    assert [heading[2:] for heading in page.headings][:4] == list(SECTIONS[:4])
    assert page.figures == page.tables == len(page.headings) == 6
    assert page.loads == [] and page.long_scripts == 1
    assert not (demo.out.parent / SCRIPT).exists() and not (demo.out / SCRIPT).exists()
