"""A key-value cache for sampling that grows without copying, and whose rows can be repeated or dropped.

The stock cache concatenates, so every step copies all previous keys and values. This one writes into a buffer with
free columns at the end, and allocates a new one only every `FREE_COLUMNS` tokens, or when rows are dropped. Layers of
other kinds (sliding windows) keep their stock behavior.
"""

from collections.abc import Callable

from torch import Tensor
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

FREE_COLUMNS = 32
"""Free columns of a new buffer."""


def growing_cache(config: PretrainedConfig) -> DynamicCache:
    """An empty cache for a model of this config."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class GrowingLayer(DynamicLayer):
    """As in the parent class, `keys` and `values` are those of the tokens so far; here they are views of `buffers`."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: list[Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        length = self.get_seq_length()
        end = length + key_states.shape[-2]
        if self.buffers is None or self.buffers[0].shape[-2] < end:
            empty = (key_states[:, :, :0], value_states[:, :, :0])
            states = self._keys_and_values() if length else empty
            self.buffers = [_copy_into_buffer(tensor, end + FREE_COLUMNS) for tensor in states]
        for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, length:end] = new
        self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        self._change_rows(lambda tensor: tensor.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        self._change_rows(lambda tensor: tensor.index_select(0, indices))

    def _change_rows(self, change: Callable[[Tensor], Tensor]) -> None:
        end = self.get_seq_length()
        if end:
            self.buffers = [_copy_into_buffer(change(x), end + FREE_COLUMNS) for x in self._keys_and_values()]
            self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)

    def _keys_and_values(self) -> tuple[Tensor, Tensor]:
        assert self.keys is not None and self.values is not None, "the cache is empty"
        return self.keys, self.values


def _copy_into_buffer(tensor: Tensor, columns: int) -> Tensor:
    rows, heads, length, width = tensor.shape
    buffer = tensor.new_empty(rows, heads, columns, width)
    buffer[:, :, :length] = tensor
    return buffer
