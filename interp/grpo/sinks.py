"""Where metrics may go besides the run's own file: callables that take (step, metrics). Off unless asked for."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from interp.artifacts import BadInput

Sink = Callable[[int, Mapping[str, Any]], None]


def tensorboard(directory: str | Path) -> Sink:
    try:
        from torch.utils.tensorboard import SummaryWriter  # pyright: ignore[reportPrivateImportUsage]
    except ImportError as error:
        raise BadInput("the TensorBoard sink needs tensorboard: pip install tensorboard") from error
    writer = SummaryWriter(str(directory))

    def write(step: int, metrics: Mapping[str, Any]) -> None:
        for name, value in metrics.items():
            if isinstance(value, int | float):
                writer.add_scalar(name, value, step)
        writer.flush()

    return write


def wandb(project: str, **settings: Any) -> Sink:
    """Offline unless `mode` says otherwise: `wandb sync` sends what was written."""
    try:
        import wandb as service  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BadInput("the W&B sink needs wandb: pip install wandb") from error
    options: dict[str, Any] = {"mode": "offline"} | settings
    run = service.init(project=project, **options)

    def write(step: int, metrics: Mapping[str, Any]) -> None:
        run.log({name: value for name, value in metrics.items() if value is not None}, step=step)

    return write
