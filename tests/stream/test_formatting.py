from merau.stream.formatting import event_line, event_summary, format_timestamp, pluralize


def test_event_summary_has_kind_class_and_units(make_event):
    assert event_summary(make_event()) == "micro · positive 83% · AU6 AU12"
    assert event_summary(make_event(uncertain=True, aus={})) == "micro · uncertain, perhaps positive 83%"
    assert event_summary(make_event(probabilities={"positive": 0.996})) == "micro · positive 99% · AU6 AU12"
    assert event_summary(make_event(kind="blink", aus={}, probabilities={}, label="")) == "blink"


def test_event_line_shows_provisional_and_final(make_event):
    summary = "micro · positive 83% · AU6 AU12"
    assert event_line(make_event(final=False)) == f" 0:01.000  face 1  provisional  {summary} · 0.81 px"
    assert event_line(make_event()) == f" 0:01.000  face 1  final        {summary} · 360 ms · 0.81 px"
    assert event_line(make_event(), with_state=False) == f" 0:01.000  face 1  {summary} · 360 ms · 0.81 px"


def test_format_timestamp_has_hours_where_needed():
    assert [format_timestamp(t_s) for t_s in (0.4, 59.6, 3725)] == ["0:00", "1:00", "1:02:05"]
    assert [format_timestamp(t_s, exact=True) for t_s in (7.24, 59.9996)] == ["0:07.240", "1:00.000"]


def test_pluralize_counts_one_and_many():
    assert [pluralize(number, "face") for number in (0, 1, 2)] == ["0 faces", "1 face", "2 faces"]
