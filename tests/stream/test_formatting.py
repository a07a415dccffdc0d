from merau.stream.formatting import clock, describe, line


def test_describe_says_kind_verdict_and_units(make_event):
    assert describe(make_event()) == "micro · positive 83 % · AU6 AU12"
    assert describe(make_event(uncertain=True, aus={})) == "micro · uncertain, perhaps positive 83 %"
    assert describe(make_event(kind="blink", aus={}, probabilities={}, label="")) == "blink"


def test_line_tells_provisional_from_final(make_event):
    assert line(make_event(final=False)) == " 0:01.000  face 1  now    micro · positive 83 % · AU6 AU12 · 0.81 px"
    assert line(make_event()) == " 0:01.000  face 1  final  micro · positive 83 % · AU6 AU12 · 360 ms · 0.81 px"


def test_clock():
    assert [clock(0.4), clock(59.6), clock(3725)] == ["0:00", "1:00", "1:02:05"]
    assert [clock(7.24, exact=True), clock(59.9996, exact=True)] == ["0:07.240", "1:00.000"]
