"""Names of what a readout can read. Help lists them, and help does not import torch, which sources need."""

from typing import Literal, get_args

SourceName = Literal[
    "likelihood", "text", "completeness", "format", "residual", "latents", "pre-activations", "intention"
]
SOURCE_NAMES = get_args(SourceName)
DICTIONARY_SOURCES = ("latents", "pre-activations", "intention")
"""Those that read a dictionary."""
LAYER_SOURCES = (*DICTIONARY_SOURCES, "residual")
"""Those that read a layer."""
