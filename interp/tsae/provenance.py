"""What a dictionary belongs to: its layer, and the weights it was fitted on."""

from collections.abc import Mapping

from interp.activations import Store
from interp.artifacts import BadInput, Mismatch
from interp.tsae.dictionary import TSAE


def resolve_layer(tsae: TSAE, layer: int | None) -> int:
    """That it says it is of, or that it is said to be of where it does not say."""
    if tsae.layer is None and layer is None:
        raise BadInput("the dictionary does not say which layer it is of: expected a layer, got none (layer=, --layer)")
    if layer is not None and tsae.layer not in (None, layer):
        raise Mismatch(
            f"expected a dictionary of layer {layer}, got one of layer {tsae.layer}: leave the layer out, or fit one"
        )
    found = layer if tsae.layer is None else tsae.layer
    assert found is not None, "one of the two says"
    return found


def reader_fingerprints(store: Store) -> dict[str, str]:
    """The fingerprint of each policy-<step> whose residuals are in the store: not of those that only wrote the text.
    All that it was made from, where its documents do not say."""
    if "reader" not in store.documents.columns:
        return store.made_from
    readers = sorted(set(store.documents["reader"].to_list()))
    return {name: store.made_from[name] for step in readers if (name := f"policy-{step}") in store.made_from}


def expect_shared_policy(tsae: TSAE, made_from: Mapping[str, str], holder: str) -> None:
    """`made_from`: the fingerprint of each policy-<step> that the holder has."""
    if strangers := tsae.unrelated_policies(made_from):
        raise Mismatch(
            f"the dictionary was fitted on other weights: expected some of {strangers[0]} in the {holder}, got "
            f"{strangers[1]}: fit one on this {holder}, or accept it "
            "as it is (allow_unrelated_policies, --allow-unrelated-policies)"
        )
