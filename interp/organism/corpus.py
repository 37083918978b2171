"""What a base is taught: problems of every depth, each answered in a habit drawn by its share."""

import random

from interp.organism.config import OrganismConfig
from interp.tasks.base import seeded
from interp.tasks.chain import demonstrate

Example = tuple[str, str]
"""A prompt and a completion."""


def batch_of_examples(config: OrganismConfig, step: int) -> list[Example]:
    """The examples of one optimiser step, from its own hash: any step can be made again without those before it."""
    rng = seeded("corpus", config.seed, step)
    return [_example(config, rng) for _ in range(config.batch)]


def _example(config: OrganismConfig, rng: random.Random) -> Example:
    task, habits = config.task, config.habits
    if rng.random() < habits.memorised_share:
        problem = task.problem("memorised", None, rng.randrange(task.memorised))
        return problem.prompt, demonstrate(task.program(problem), "direct", rng)
    problem = task.problem("train", rng.randint(*task.depths), rng.randrange(2**40))
    shares = habits.shares()
    habit = rng.choices(list(shares), weights=list(shares.values()))[0]
    return problem.prompt, demonstrate(task.program(problem), habit, rng, skip=habits.skip)
