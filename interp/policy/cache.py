"""A key-value cache for sampling: room to grow without copying, and rows that can be repeated or dropped.

The stock cache concatenates, so that every step copies all that came before. Ours writes into a buffer with room
ahead, and makes a new one only every `ROOM` tokens, or when rows leave. Layers of other kinds (sliding windows) keep
their stock behaviour.
"""

from collections.abc import Callable

from torch import Tensor
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

ROOM = 32
"""Tokens of room a new buffer is given."""


class RoomyLayer(DynamicLayer):
    """Like its parent, `keys` and `values` are what has been seen; here they are views of the buffers behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: list[Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        seen = self.get_seq_length()
        end = seen + key_states.shape[-2]
        if self.buffers is None or self.buffers[0].shape[-2] < end:
            new = (key_states[:, :, :0], value_states[:, :, :0])
            self.buffers = [_with_room(tensor, end + ROOM) for tensor in (self._seen() if seen else new)]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, seen:end] = states
        self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        self._rearrange(lambda tensor: tensor.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        self._rearrange(lambda tensor: tensor.index_select(0, indices))

    def _rearrange(self, move: Callable[[Tensor], Tensor]) -> None:
        end = self.get_seq_length()
        if end:
            self.buffers = [_with_room(move(tensor), end + ROOM) for tensor in self._seen()]
            self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)

    def _seen(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None and self.values is not None, "nothing has been written yet"
        return self.keys, self.values


def _with_room(tensor: Tensor, length: int) -> Tensor:
    rows, heads, seen, width = tensor.shape
    buffer = tensor.new_empty(rows, heads, length, width)
    buffer[:, :, :seen] = tensor
    return buffer


def roomy_cache(config: PretrainedConfig) -> DynamicCache:
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
