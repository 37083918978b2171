"""`interp study NAME`: one command per study of `interp.studies.STUDIES`, its flags made from the study's config."""

from collections.abc import Callable
from dataclasses import field, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from interp.cli.app import Args, Flat, expect_no_artifact, say, say_json, study_app
from interp.studies import STUDIES, Study


def args_of(study: Study[Any]) -> type:
    """The dataclass whose fields are the flags of a study's command."""

    def described(kind: type, text: str) -> Any:
        return Annotated[kind, tyro.conf.arg(help=text)]

    return make_dataclass(
        f"{study.name.capitalize()}Args",
        [
            ("study", Annotated[study.Config, Flat], field(default_factory=study.Config)),
            (
                "out",
                described(Path, "Where the result goes, and the ledger of runs."),
                Path("data/results", study.name),
            ),
            ("runs", described(Path, "Where the runs' own directories go."), Path("runs", study.name)),
            ("rejudge", described(bool, "Judge the runs in the ledger again; run nothing."), False),
            ("overwrite", described(bool, "Replace a result of other runs in --out. The ledger keeps them."), False),
            ("json", described(bool, "Print one JSON object and nothing else."), False),
        ],
        bases=(Args,),
        frozen=True,
    )


STUDY_ARGS = {name: args_of(study) for name, study in STUDIES.items()}


def command_of(study: Study[Any]) -> Callable[..., None]:
    args: Any = STUDY_ARGS[study.name]

    def command(config: Annotated[args, Flat]) -> None:  # pyright: ignore[reportInvalidTypeForm]
        expect_no_artifact(config.out)
        judgements = study.execute(
            config.study, config.out, config.runs, rejudge=config.rejudge, overwrite=config.overwrite
        )
        if config.json:
            return say_json({"out": config.out, "verdicts": {one.claim.name: one.verdicts for one in judgements}})
        if judgements:
            say(f"{'as registered':14} {'corrected':14} {'any shape':14} claim")
        for one in judgements:
            say(f"{one.registered:14} {one.verdict:14} {one.any_shape:14} {one.claim.text}")
        say("", f"Saved in {config.out / 'README.md'}")

    command.__doc__ = f"{study.question} Stopped and started again, it continues."
    return command


for _study in STUDIES.values():
    study_app.command(name=_study.name)(command_of(_study))
