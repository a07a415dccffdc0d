import numpy as np
import pytest

from merau.calib.domain import domain_embeddings
from merau.engine import bundle
from merau.stream.commands.doctor import domain
from merau.stream.store import Store


@pytest.mark.parametrize(("shift", "far"), [(0.0, False), (2.0, True)])
def test_the_gauge_tells_a_session_from_another_domain(make_event, tmp_path, shift, far):
    shipped = bundle.load()
    seen = domain_embeddings(shipped)[::5] + np.float32(shift)
    with Store(tmp_path / "merau.db") as store:
        first, second = (
            store.start_session(name, settings={}, bundle="", bundle_sha256="") for name in ("door", "desk")
        )
        for i, embedding in enumerate(seen):
            store.put(first, make_event(1.0 + i, bundle_sha256=shipped.sha256, embedding=embedding.tobytes()))
        store.put(second, make_event(bundle_sha256="0" * 64, embedding=seen[0].tobytes()))
    door, desk = domain(tmp_path / "merau.db", shipped)
    assert door["samples"] == len(seen)
    assert (door["p_value"] < 0.05) == far
    assert desk["samples"] == 0
    assert "p_value" not in desk
