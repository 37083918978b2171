"""How a problem is put to a policy, and where its answer ends: one set of options for every stage that asks.

    prompt = prefix + problem + suffix          with chat: that as a user's turn, after the system prompt
    answer = the completion up to the first stop text

What a stage asked is recorded in what it made. A later stage asks in the same way, unless it is told otherwise: see
`same_prompts`. Policies answer differently to differently put questions, so that pass rates, latents and credit of one
format say little about another.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from interp.artifacts import BadInput, Mismatch, own_manifest
from interp.checks import Length, expect_plausible

PromptText = Annotated[str, Length(100_000, may_be_empty=True, may_have_lines=True)]
StopText = Annotated[str, Length(100, may_have_lines=True)]
MAX_STOPS = 16
Offsets = list[tuple[int, int]]
Config = TypeVar("Config", bound="PromptFormat")


@dataclass(frozen=True, kw_only=True)
class PromptFormat:
    """How each problem is put to a policy, and where its answer ends."""

    chat: bool = False
    """Give each problem as a user's turn in the tokenizer's chat template."""
    system_prompt: PromptText = ""
    """System prompt of the chat template. Default: none, and a template may then put its own."""
    prefix: PromptText = ""
    """Text before every problem, such as worked examples."""
    suffix: PromptText = ""
    """Text after every problem, such as how to state the answer."""
    stop: tuple[StopText, ...] = ()
    """Texts that end a completion, beside the end tokens. The answer is what comes before the first of them."""

    def __post_init__(self) -> None:
        expect_plausible(self, *(field.name for field in fields(PromptFormat)))
        if len(self.stop) > MAX_STOPS:
            raise BadInput(f"stop must be up to {MAX_STOPS} texts; got {len(self.stop)}")
        if self.system_prompt and not self.chat:
            raise BadInput("system_prompt needs chat: only a chat template has a place for it; put the text in prefix")
        if escaped := [text for text in self.stop if "\\n" in text or "\\t" in text]:
            warnings.warn(
                f"stop {escaped[0]!r} holds a backslash: for a line end write $'\\n' in a shell", stacklevel=3
            )

    @property
    def prompt_format(self) -> "PromptFormat":
        """These options alone."""
        return PromptFormat(**{name: getattr(self, name) for name in FIELDS})

    @classmethod
    def of_checkpoint(cls, path: Path | None) -> "PromptFormat | None":
        """The format in which a run put its problems, from one of its checkpoints. None for any other policy."""
        manifest = (own_manifest(path) if path is not None else None) or {}
        return cls.from_config(manifest.get("config")) if manifest.get("kind") == "checkpoint" else None

    @classmethod
    def stated_in(cls, config: Any) -> "PromptFormat | None":
        """The format in the config of a saved result. None where it states nothing of it."""
        is_stated = isinstance(config, Mapping) and any(name in config for name in FIELDS)
        return cls.from_config(config) if is_stated else None

    @classmethod
    def from_config(cls, config: Any) -> "PromptFormat":
        """The format in the config of a saved result. Results of earlier versions state no more than `chat`."""
        entries = config if isinstance(config, Mapping) else {}
        stated = {name: entries[name] for name in FIELDS if entries.get(name) is not None}
        return PromptFormat(**{**stated, "stop": tuple(stated.get("stop", ()))})

    def text(self, problem: str) -> str:
        """The problem between prefix and suffix."""
        return f"{self.prefix}{problem}{self.suffix}"

    def turns(self, problem: str) -> list[dict[str, str]]:
        """The problem as a conversation for a chat template."""
        system = [{"role": "system", "content": self.system_prompt}] if self.system_prompt else []
        return [*system, {"role": "user", "content": self.text(problem)}]

    def answer(self, completion: str, offsets: Offsets) -> tuple[str, Offsets]:
        """A completion up to the first stop text, and the characters of each token that wrote some of it."""
        ends = [end for text in self.stop if (end := completion.find(text)) >= 0]
        if not ends:
            return completion, offsets
        end = min(ends)
        return completion[:end], [(first, min(last, end)) for first, last in offsets if first < end]


FIELDS = tuple(field.name for field in fields(PromptFormat))
PLAIN = PromptFormat()
"""The problem alone, ended by an end token."""


def same_prompts(own: Config, source: PromptFormat | None, *, of: str, is_strict: bool = False) -> Config:
    """The config with the prompt format of `source`, from which the stage goes on, and a word about it. A format of its
    own stays; without any option of its own, a config has none.

    `of` says what `source` is, for messages: "the run". A format of its own that differs is a warning, or, if
    `is_strict`, an error: where a measurement of one format would be taken for one of another."""
    if source is None or own.prompt_format == source:
        return own
    if own.prompt_format == PLAIN:
        stated = [f"{name} {getattr(source, name)!r:.60}" for name in FIELDS if getattr(source, name)]
        warnings.warn(f"asked as {of} asked: {', '.join(stated)}", stacklevel=3)
        return replace(own, **{name: getattr(source, name) for name in FIELDS})
    pairs = {name: (getattr(source, name), getattr(own, name)) for name in FIELDS}
    changes = [
        f"{name} {other!r:.60} there, {value!r:.60} here" for name, (other, value) in pairs.items() if other != value
    ]
    message = f"the prompts differ from those of {of}: {'; '.join(changes)}"
    if is_strict:
        raise Mismatch(f"{message}. Leave these options out to ask in the same way, or make it again with them")
    warnings.warn(message, stacklevel=3)
    return own
