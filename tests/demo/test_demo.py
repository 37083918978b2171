"""The demo from end to end, with little of everything: stopped, gone on with, told as text, as JSON and as a page."""

import contextlib
import io
import json
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import run

from interp.demo import inside, plan
from interp.demo import text as report
from interp.demo.arms import ARMS, SEEN
from interp.features import Roles, RolesConfig
from interp.features.ablation import Effect, Mean
from interp.features.falsification import Falsified
from interp.features.roles import Trial
from interp.features.separation import Heights
from interp.plots import SCRIPT, Point, dots, page
from interp.policy import SampleConfig
from interp.rollouts.intervals import Share
from interp.tracking import AskConfig
from interp.tracking.changes import FEW
from interp.tracking.plots import named

TINY = plan.Sizes(
    problems=2,
    answers=2,
    checkpoints=1,
    tokens=8_000,
    held_out=2_000,
    documents=8,
    width=128,
    earning=RolesConfig(
        levels=(1, 2), problems=6, most=1, random=1, matched=2, texts=4, played=0,
        sampling=SampleConfig(group=2, rows=256),
    ),
    asking=AskConfig(problems=9, recovered=0, sampling=SampleConfig(group=2, rows=256)),
)  # fmt: skip
FIGURES = ["What training does", "What latents are for", "What hard training did to them", "Medium against hard"]


def told(out: Path, *words: str) -> tuple[int, str]:
    """What a demo ends with, and what it says."""
    little = ("--problems", "1", "--group", "1", "--steps", "1", "--learn", "20", "--out", str(out))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
        patch.setattr(plan, "SIZES", TINY)
        ended = run(patch, "demo", *little, *words)
    return ended, said.getvalue()


def never(*_: Any, **__: Any) -> None:
    raise AssertionError("this is there already: nobody has to make it again")


def stopped(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def kept(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for kind in ("safetensors", "parquet") for path in out.rglob(f"*.{kind}")}


@dataclass(frozen=True)
class Shown:
    out: Path
    stopped: tuple[int, str]
    text: str


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> Shown:
    """Stopped when roles had been earned, and started again."""
    out = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interp.tracking.track", stopped)
        first = told(out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interp.features.earn_roles", never)
        ended, text = told(out)
    assert ended == 0
    return Shown(out, first, text)


def test_a_demo_that_was_stopped_goes_on_with_what_is_there(shown):
    ended, said = shown.stopped
    assert ended == 130 and "What became of them" in said and "The dictionary fits" not in said
    earned = next(line for line in said.splitlines() if "have earned a role" in line)
    assert earned in shown.text, "these very roles"


def test_every_stage_is_told_and_what_is_found_with_intervals(shown):
    lines = shown.text.splitlines()
    for said in (
        "What training adds",
        "It explains",
        "drawn at random",
        "not too rare",
        "A is asked",
        "Seconds: train",
    ):
        assert any(said in line for line in lines), said
    for said in ("on medium problems +", "drawn at random, ", "B less A: valid answers"):
        assert "]" in next(line for line in lines if said in line), said
    assert f"offline: {shown.out / 'demo.html'}" in shown.text and max(map(len, lines)) <= 140


class Reader(HTMLParser):
    """Headings of a page, its figures, and all that it asks for from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.figures = self.long_scripts = 0
        self.asked: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        known = dict(attrs)
        self.asked += [str(known[name]) for name in ("src", "href", "data", "srcset") if name in known]
        self.figures += str(known.get("id", "")).startswith("figure-")

    def handle_data(self, data: str) -> None:
        if self._inside == "h2" and data.strip():
            self.headings.append(data)
        self.long_scripts += self._inside == "script" and len(data) > 1_000_000
        self.asked += ["@import"] if self._inside == "style" and ("@import" in data or "url(" in data) else []

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def test_the_page_has_every_figure_and_asks_for_nothing_from_elsewhere(shown):
    read = Reader((shown.out / "demo.html").read_text())
    assert read.headings[:4] == FIGURES and read.figures == len(read.headings)
    assert read.asked == [] and read.long_scripts == 1
    assert not (shown.out.parent / SCRIPT).exists() and not (shown.out / SCRIPT).exists()


def test_a_page_has_its_script_within_or_beside_it(tmp_path):
    parts = [("One", "of one", dots({"a": {"b": [Point("c", 0.5, 0.4, 0.6)]}}, y="d"))]
    page(tmp_path / "at" / "beside.html", "Beside", parts)
    page(tmp_path / "at" / "alone.html", "Alone", parts, alone=True)
    beside, alone = (Reader((tmp_path / "at" / f"{name}.html").read_text()) for name in ("beside", "alone"))
    assert beside.asked == [f"../{SCRIPT}"] and beside.long_scripts == 0 and (tmp_path / SCRIPT).exists()
    assert alone.asked == [] and alone.long_scripts == 1 and alone.figures == 1


def a_role(latent: int, family: str, contrast: str) -> Trial:
    lost = Mean(-1.0, -1.5, -0.5)
    return Trial(
        latent, family, contrast, 0.9, 1.0, 0.001, 0.9, True, falsified=Falsified(0.1, 0.5, "a triple", 0.2, 0.0),
        ablated=Effect(lost, lost), amplified=Effect(lost, lost), matched=(0.0,), heights=Heights(1.0, 0.0, 0.5),
    )  # fmt: skip


def with_roles(tsae: Any, base: Any, task: Any, *_: Any, **__: Any) -> Roles:
    trials = (a_role(1, "shortcut", "direct"), a_role(2, "computation", "result 3"))
    made_from = {"tsae": tsae.fingerprint(), "policy": base.fingerprint(), "task": task.fingerprint()}
    return Roles(trials, (), tsae.width, (), made_from, RolesConfig(), TINY.layer)


def without_roles(*asked: Any, **known: Any) -> Roles:
    roles = with_roles(*asked, **known)
    return Roles((), (), roles.width, (), roles.made_from, roles.config, roles.layer)


def test_where_latents_have_roles_hard_is_trained_again_with_credit_by_them(shown, monkeypatch):
    monkeypatch.setattr(inside, "roles_of", with_roles)
    ended, text = told(shown.out)
    assert ended == 0
    assert "credit by what 2 latents show in each answer" in text and "None has earned reasoning" in text
    assert any(line.startswith(f"{SEEN} ") for line in text.splitlines())
    assert Reader((shown.out / "demo.html").read_text()).headings == [*FIGURES, "Hard again, with credit by latents"]
    before = kept(shown.out)
    ended, said = told(shown.out, "--json")
    assert ended == 0 and kept(shown.out) == before, "asked again, nothing is made anew"
    found = json.loads(said)
    assert {*ARMS, SEEN} < set(found["after"]) and {"quality", "told"} == set(found["dictionary"])
    assert {"counts", "trials", "missing"} == set(found["roles"])
    assert {"drift", "counts", "latents"} == set(found["tracks"])
    assert {"behaviour", "counts", "relations", "latents"} == set(found["comparison"])
    assert found["page"] == str(shown.out / "demo.html") and "training" in found["seconds"]


def test_where_none_has_that_is_said_and_nothing_else_is_lost(shown, monkeypatch):
    monkeypatch.setattr(inside, "roles_of", without_roles)
    ended, text = told(shown.out)
    assert ended == 0
    assert report.NO_CREDIT in text and SEEN not in text
    read = (shown.out / "demo.html").read_text()
    assert Reader(read).headings == FIGURES and "hard is not run again" in read


def test_without_a_dictionary_there_is_what_training_does_and_no_more(shown):
    ended, text = told(shown.out, "--learn", "0")
    assert ended == 0 and "What training adds" in text and "dictionary" not in text
    assert Reader((shown.out / "demo.html").read_text()).headings == FIGURES[:1]


def test_the_difference_of_two_shares_has_newcombes_interval():
    one, other = Share(56 / 70, 0.6928, 0.8768, 70), Share(48 / 80, 0.4905, 0.7004, 80)
    assert report.less(one, other) == "+0.20 [+0.05, +0.33]"  # by hand, of these bounds


def test_latents_that_passed_count_once_each():
    once, twice = a_role(1, "shortcut", "direct"), a_role(1, "reasoning", "valid chain")
    failed = Trial(2, "format", "x", 0.7, 1.0, 0.001, 0.9, True)
    found = report.passing((once, twice, failed))
    assert (found.value, found.n) == (0.5, 2)
    assert report.passing(()).n == 0


def test_of_too_few_prompts_nothing_is_told():
    few = SimpleNamespace(counts=lambda: {FEW: 3})
    changes: Any = SimpleNamespace(buckets={"hard": few})
    assert "too few prompts" in report.went(changes, "hard", without_roles(*[FINGERPRINTED] * 3))


FINGERPRINTED: Any = SimpleNamespace(fingerprint=lambda: "x", width=4)


def test_a_latent_is_named_with_the_role_it_has():
    roles = with_roles(*[FINGERPRINTED] * 3)
    assert [named(at, roles) for at in (1, 3)] == ["latent 1 (shortcut)", "latent 3"]
    assert named(1, None) == "latent 1"
