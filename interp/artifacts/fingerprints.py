"""Fingerprints: 16 hexadecimal digits of a SHA-256 over text, configs or tensors."""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from interp.artifacts.configs import to_json

if TYPE_CHECKING:
    import torch

DIGITS = 16


def fingerprint(*parts: bytes | str) -> str:
    """Fingerprint of several parts. Each is preceded by its length, so that parts never run together."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:DIGITS]


def fingerprint_config(config: Any) -> str:
    """Fingerprint of a dataclass or mapping; the order of its keys does not matter."""
    return fingerprint(json.dumps(to_json(config), sort_keys=True))


def same_fingerprint(expected: object, actual: object) -> bool:
    """Whether two fingerprints are equal.

    That of a policy is `<weights>+<config and tokenizer>`. Earlier versions wrote the weights alone: with such a
    fingerprint, weights alone are compared."""
    if expected == actual:
        return True
    if not (isinstance(expected, str) and isinstance(actual, str)) or ("+" in expected) == ("+" in actual):
        return False
    return expected.partition("+")[0] == actual.partition("+")[0]


def fingerprint_tensors(names: Iterable[str], get: Callable[[str], "torch.Tensor"]) -> str:
    """Fingerprint of tensors by name, dtype, shape and bytes.

    `get` is called for one name at a time, so that a model is never in memory twice. Half precision is converted to the
    float32 of equal value first: weights have the same fingerprint in either."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(names):
        tensor = get(name).detach().cpu()
        tensor = (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:DIGITS]
