"""Help: fast, without torch, one flag per field of a config, and a sentence for every flag."""

import dataclasses
import re
import resource
import subprocess
import sys
import typing

import pytest
from commands import COMMANDS, run

from interp import cli

POSITIONAL = {
    cli.Check: {"paths"},
    cli.Verify: {"tables"},
    cli.Card: {"organism"},
    cli.ImportGguf: {"gguf"},
    cli.Compare: {"a", "b"},
    cli.Dashboard: {"results"},
}
each_command = pytest.mark.parametrize(("words", "config"), COMMANDS.items(), ids=map(" ".join, COMMANDS))


def processor_seconds(*code: str, tries: int = 3) -> float:
    """Processor time of a Python process, which a busy machine does not change: the best of several tries."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def once() -> float:
        start = spent()
        subprocess.run([sys.executable, *code], check=True, capture_output=True)
        return spent() - start

    return min(once() for _ in range(tries))


def test_importing_interp_takes_a_tenth_of_a_second_at_most():
    assert processor_seconds("-c", "import interp") - processor_seconds("-c", "pass") < 0.1


def test_help_takes_less_than_half_the_time_of_importing_torch():
    assert processor_seconds("-m", "interp", "--help") < 0.4 * processor_seconds("-c", "import torch", tries=1)


def test_no_help_imports_torch_numpy_polars_or_transformers():
    code = (
        f"import sys\nfrom interp import cli\nfor words in {list(COMMANDS)}:\n"
        "    sys.argv = ['interp', *words, '--help']\n    try: cli.main()\n    except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'polars', 'transformers'} & set(sys.modules)\nassert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and result.stdout.count("usage: interp") == len(COMMANDS), result.stderr


def field_names(config: type) -> list[str]:
    """Names of a config's fields, and of those of the configs inside it."""
    names: list[str] = []
    for name, hint in typing.get_type_hints(config).items():
        if typing.get_origin(hint) is typing.ClassVar:
            continue
        names += field_names(hint) if dataclasses.is_dataclass(hint) else [name]  # pyright: ignore[reportArgumentType]
    return names


def flag_descriptions(monkeypatch, capsys, words) -> dict[str, str]:
    """For each flag in the help of a command, without its prefix, the text beside or below it."""
    monkeypatch.setenv("COLUMNS", "100")
    assert run(monkeypatch, *words, "--help") == 0
    texts, name = {}, "help"
    for line in capsys.readouterr().out.splitlines():
        text = line.strip("│ ")
        if flag := re.match(r"[│ ] --([a-z][a-z.-]*)", line):
            name = flag[1].split(".")[-1].replace("-", "_")
            text = " ".join(re.split(r"\s{2,}", text)[1:])
        texts[name] = f"{texts.get(name, '')} {text}"
    return {name: text for name, text in texts.items() if name != "help"}


@each_command
def test_every_field_of_a_config_is_a_flag_and_every_flag_a_field(monkeypatch, capsys, words, config):
    assert set(flag_descriptions(monkeypatch, capsys, words)) == set(field_names(config)) - POSITIONAL.get(
        config, set()
    )


@each_command
def test_every_flag_has_a_description(monkeypatch, capsys, words, config):
    texts = flag_descriptions(monkeypatch, capsys, words)
    plain = {
        name: re.sub(r"\((default|required|repeatable)[^)]*\)|[-─]{9,}.*", "", text) for name, text in texts.items()
    }
    assert [name for name, text in plain.items() if len(text.split()) < 2] == []


def test_the_version_is_printed(monkeypatch, capsys):
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("interp ")
