"""Chains of modular arithmetic: a task in which every written step can be checked exactly.

task          the `Chain` task: options, splits, levels
program       the computation of a problem, and its prompt
completions   formats of completions: writing and parsing
verify        the verdict, step by step
"""

from interp.tasks.chain.completions import HABITS, write_completion
from interp.tasks.chain.program import Program, parse_prompt
from interp.tasks.chain.task import Chain, task_from_manifest

__all__ = ["HABITS", "Chain", "Program", "parse_prompt", "task_from_manifest", "write_completion"]
