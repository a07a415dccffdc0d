"""The arrays of a bundle, read and checked: its own head, and the embeddings of its domain."""

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as deserialize

from merau.engine import heads
from merau.engine.bundle import DOMAIN, HEAD, Bundle
from merau.engine.errors import UserError


def read_head(bundle: Bundle) -> heads.Head:
    """Read the bundle's own head.

    Raises:
        UserError: It is damaged, or its classes are not those of the card.
    """
    head = heads.load(bundle.content[HEAD])
    if list(head.classes) != bundle.card["classes"]:
        raise UserError(f"Bundle {bundle.name} has the classes {bundle.card['classes']}, but its head {head.classes}.")
    return head


def read_domain(bundle: Bundle) -> np.ndarray | None:
    """Read the embeddings (M, d) float32 of the bundle's own domain; None where it has none.

    Raises:
        UserError: They are damaged, or not as long as those of the bundle's head.
    """
    if DOMAIN not in bundle.content:
        return None
    try:
        known = deserialize(bundle.content[DOMAIN])["embedding"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"Bundle {bundle.name} is damaged: {DOMAIN} cannot be read ({error}).") from error
    dimension = heads.load(bundle.content[HEAD]).dimension
    if known.dtype != np.float32 or known.ndim != 2 or known.shape[1] != dimension or not heads.is_sound(known):
        raise UserError(f"Bundle {bundle.name} is damaged: {DOMAIN} holds no embeddings of {dimension} finite values.")
    return known
