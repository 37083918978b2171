"""Chains of modular arithmetic: a world in which every step of an answer can be checked."""

from interp.tasks.chain.demonstrate import HABITS, demonstrate
from interp.tasks.chain.program import Program, parse_prompt
from interp.tasks.chain.task import Chain

__all__ = ["HABITS", "Chain", "Program", "demonstrate", "parse_prompt"]
