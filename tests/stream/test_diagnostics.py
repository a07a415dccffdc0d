import numpy as np
import pytest

from merau.calib.domain import domain_embeddings
from merau.engine import bundle
from merau.stream.diagnostics import domain_distances
from merau.stream.store import Store


@pytest.mark.parametrize(("shift", "far"), [(0.0, False), (2.0, True)])
def test_domain_distances_find_a_session_of_another_domain(make_event, tmp_path, shift, far):
    shipped = bundle.load()
    embeddings = domain_embeddings(shipped)[::5] + np.float32(shift)
    with Store(tmp_path / "merau.db") as store:
        first, second = (store.start_session(name, settings={}, bundle="", bundle_sha256="") for name in "ab")
        for i, embedding in enumerate(embeddings):
            store.put(first, make_event(1.0 + i, bundle_sha256=shipped.sha256, embedding=embedding.tobytes()))
        store.put(second, make_event(bundle_sha256="0" * 64, embedding=embeddings[0].tobytes()))
    one, other = domain_distances(tmp_path / "merau.db", shipped)
    assert one["samples"] == len(embeddings)
    assert (one["p_value"] < 0.05) == far
    assert other["samples"] == 0
    assert "p_value" not in other
