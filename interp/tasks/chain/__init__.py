"""Chains of modular arithmetic: a task in which every written step can be checked exactly."""

from interp.tasks.chain.completions import HABITS, write_completion
from interp.tasks.chain.program import Program, parse_prompt
from interp.tasks.chain.task import Chain, task_from_manifest

__all__ = ["HABITS", "Chain", "Program", "parse_prompt", "task_from_manifest", "write_completion"]
