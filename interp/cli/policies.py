"""Bring a policy in from another format."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from interp.cli.app import Args, Flat, app, say, say_json


@dataclass(frozen=True)
class ImportGguf(Args):
    gguf: tyro.conf.Positional[Path]
    """A GGUF file, as llama.cpp reads it."""
    out: Path
    """Directory for the model and its tokenizer, in Hugging Face format."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision it is stored in. float32 holds every restored weight exactly; the others round, and take half."""
    overwrite: bool = False
    """Replace what is in --out."""
    json: bool = False
    """Print one JSON object and nothing else."""


@app.command(name="import-gguf")
def import_gguf_command(config: Annotated[ImportGguf, Flat]) -> None:
    """Turn a GGUF file into a Hugging Face directory, which every other command opens as a policy."""
    from interp.policy.gguf import import_gguf

    imported = import_gguf(config.gguf, config.out, dtype=config.dtype, overwrite=config.overwrite)
    if config.json:
        return say_json(asdict(imported))
    chat = "a chat template" if imported.has_chat_template else "no chat template: it completes text, so leave out chat"
    say(
        f"Architecture   {imported.architecture}, {imported.parameters:,} parameters",
        f"Quantization   {imported.quantization}; restored to {config.dtype}, {imported.n_bytes / 1e6:,.0f} MB on disk",
        f"Tokenizer      {chat}",
        "",
        f"Saved in {imported.path}",
    )
