import numpy as np
from safetensors.numpy import load

from merau.engine.arrays_file import serialize


def test_serialize_equal_content_gives_equal_bytes():
    arrays = {name: np.arange(6, dtype=np.float32) for name in ("weight", "bias", "scale")}
    metadata = {name: name.upper() for name in ("kind", "classes", "labels", "known", "aus")}
    turned = dict(reversed(metadata.items()))
    contents = {serialize(arrays, given) for given in (metadata, turned) for _ in range(8)}
    assert len(contents) == 1
    assert {name: values.tolist() for name, values in load(contents.pop()).items()} == {
        name: values.tolist() for name, values in arrays.items()
    }
