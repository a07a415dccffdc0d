"""Arrays and metadata as a safetensors file of which equal content makes equal bytes."""

import json
from collections.abc import Mapping

import numpy as np
from safetensors.numpy import save

HEADER_ALIGNMENT = 8  # bytes, as the format asks


def serialize(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Write `arrays` as safetensors with a sorted header.

    The library writes metadata in an order that differs from call to call: neither files nor their hashes would repeat.
    """
    data: bytes = save(dict(arrays), metadata=dict(metadata))
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % HEADER_ALIGNMENT)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]
