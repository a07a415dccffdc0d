"""An event as JSON."""

import json

from merau.stream.events import FIELDS, event_fields


def test_event_fields_are_json_without_blobs(make_event):
    fields = event_fields(make_event(quality=float("nan"), apex_jpeg=b"picture"))
    assert tuple(fields) == FIELDS
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields
    assert fields["strength"] == 0.8123
    assert fields["quality"] is None
    assert fields["aus"]["12"] == 0.93
