"""Why a recording gave little or nothing, and what to do about it: notes of a summary."""

from collections import Counter

from merau.engine.errors import Message
from merau.stream.summary import Summary

SETTLED_S = 1.0  # a shorter recording ends before the noise floor of a face has settled
DARK = 0.15  # mean grey, 0 to 1
MAIN_SHARE = 0.5  # of the frames with a face

# What helps, by the reason for which a face is not analysed.
REMEDIES = {
    "partly outside the picture": "Keep the whole face in the picture.",
    "too small": "Bring the face nearer, zoom in, or record with more pixels.",
    "turned away": "Place the camera in front of the face.",
    "turned up": "Place the camera at the height of the eyes.",
    "turned down": "Place the camera at the height of the eyes.",
    "too dark": "Add light from the front.",
    "too bright": "Take light away, or lower the exposure.",
    "blurred": "Focus on the face, shorten the exposure, or compress the video less.",
    "hidden": "Keep hands, hair and masks off the face.",
}


def explain_outcome(summary: Summary, detector: str) -> list[Message]:
    """Return why there are no faces or no events, or why the recording is too short for them to be sure.

    Args:
        summary: A whole recording.
        detector: The face detector that was used.
    """
    if not summary.tracks:
        return [_explain_no_face(summary, detector)]
    if summary.duration_s < SETTLED_S:
        return [
            Message(
                "'{name}' lasts {seconds} s, which is too short for the noise floor of a face to settle: weak or slow"
                " movements are missed. Record a second before the movement begins.",
                {"name": summary.source, "seconds": f"{summary.duration_s:.2f}"},
            )
        ]
    return [] if summary.events else [_explain_no_event(summary)]


def _explain_no_face(summary: Summary, detector: str) -> Message:
    values: dict[str, object] = {"name": summary.source}
    if summary.brightness < DARK:
        return Message("No face was found in '{name}': the picture is dark. Add light from the front.", values)
    if detector == "short":
        return Message(
            "No face was found in '{name}': the detector 'short' finds near faces only. Use --faces wide for small"
            " or distant ones.",
            values,
        )
    return Message(
        "No face was found in '{name}'. A face must be in view from the front, upright, and not covered.", values
    )


def _explain_no_event(summary: Summary) -> Message:
    values: dict[str, object] = {"name": summary.source}
    frames = sum(track.frames for track in summary.tracks.values())
    reasons: Counter[str] = Counter()
    for track in summary.tracks.values():
        reasons += track.not_analysed
    if sum(reasons.values()) < MAIN_SHARE * frames:
        return Message(
            "No event was found in '{name}': no movement of a face rises above its noise floor. Light that is steady,"
            " a face that is larger, and video that is compressed less show smaller movements.",
            values,
        )
    ((reason, number),) = reasons.most_common(1)
    values |= {"reason": reason, "share": f"{number / frames:.0%}", "remedy": REMEDIES.get(reason, "")}
    return Message("No event was found in '{name}': in {share} of its frames the face is {reason}. {remedy}", values)
