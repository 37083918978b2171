"""Any reasoning-gym dataset as a task (`pip install 'interp[gym]'`).

task        the `GymTask` task: seeds, splits, levels
answers     which answers are right: the shape that each dataset's answers have, and the scorer behind it
checks      checks of our own, where the scorer is wrong or slow
formulas    formulae of bounded cost, their values and derivatives
"""

from interp.tasks.gym.task import GymTask, split_of

__all__ = ["GymTask", "split_of"]
