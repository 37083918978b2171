"""AdamW, on float32 copies of the weights where these are in half precision: a step of 1e-6 is lost in a bfloat16,
and so is much of a gradient that is summed in it."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from interp.grpo.config import UpdateConfig


class Optimiser:
    def __init__(self, model: nn.Module, config: UpdateConfig) -> None:
        self.config = config
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.masters = nn.ParameterDict()
        self.halves = {name: p for name, p in self.trained.items() if p.dtype != torch.float32}
        for name, p in self.halves.items():
            self.masters[name.replace(".", "/")] = nn.Parameter(p.detach().float())
        self.adam = torch.optim.AdamW(
            [self._own(name) for name in self.trained], lr=config.lr, weight_decay=config.weight_decay, fused=True
        )

    def weights(self) -> nn.ParameterDict:
        """What the optimiser moves, by name: to be saved and put back."""
        return nn.ParameterDict({name.replace(".", "/"): self._own(name) for name in self.trained})

    def clip(self) -> Tensor:
        """Scale the gradient down to the largest norm allowed, and tell the norm it had."""
        return torch.nn.utils.clip_grad_norm_([self._own(name) for name in self.trained], self.config.max_norm)

    def take_up_gradients(self) -> None:
        """After each backward: add what half-precision weights were given to the gradients of their copies."""
        for name, p in self.halves.items():
            if p.grad is not None:
                own = self._own(name)
                own.grad = p.grad.float() if own.grad is None else own.grad.add_(p.grad)
                p.grad = None

    def step(self, at: int) -> None:
        for group in self.adam.param_groups:
            group["lr"] = self.config.lr * min(1.0, (at + 1) / max(self.config.warm_up, 1))
        self.adam.step()
        self.publish()
        self.forget()

    def publish(self) -> None:
        """Bring the half-precision weights in line with their copies."""
        with torch.no_grad():
            for name, p in self.halves.items():
                p.copy_(self._own(name))

    def forget(self) -> None:
        for p in _all(self.trained.values(), self.masters.values()):
            p.grad = None

    def _own(self, name: str) -> nn.Parameter:
        return self.masters[name.replace(".", "/")] if name in self.halves else self.trained[name]  # pyright: ignore[reportReturnType]


def _all(*groups: Iterable[Tensor]) -> Iterable[Tensor]:
    return (p for group in groups for p in group)
