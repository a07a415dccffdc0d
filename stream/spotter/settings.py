"""How movements are spotted."""

from dataclasses import dataclass, fields

from merau.engine.crop import CropSpec
from merau.engine.validation import check, check_range

MICRO_MAX_S = 0.5  # the field's definition: an expression that lasts longer is a macro-expression


@dataclass(frozen=True)
class SpotterSettings:
    """How movements are proposed and followed. Triggers are multiples of the person's noise floor.

    Attributes:
        crop: Layout of the crops.
        micro_max_s: Longest micro-expression from onset to offset; nothing longer is called one.
        macro_max_s: An expression that is held longer is closed.
        lag_s: Time between the two crops whose flow shows a new movement.
        rate_hz: Crops that follow each other faster are averaged.
        mean_s: Length of the average that takes out the noise of video coding.
        pulse_trigger: Trigger of transient movements, as a multiple of the score that noise reaches in 10% of the time.
        blink_trigger: The same for the eyes.
        rise_trigger: Trigger of sustained movements.
        floor_prior_px: Noise floor of a new face, crop px.
        floor_min_px: Least noise floor, crop px.
        settle_s: Time from the start of a track in which nothing is spotted.
        confirm_s: Time after the apex before a movement is reported.
        decide_s: Time after the apex before a movement may be final.
        merge_gap_s: Movements of speech that follow each other within this time are one span.
    """

    crop: CropSpec = CropSpec()
    micro_max_s: float = MICRO_MAX_S
    macro_max_s: float = 20.0
    lag_s: float = 0.2
    rate_hz: float = 50.0
    mean_s: float = 0.05
    pulse_trigger: float = 1.1
    blink_trigger: float = 1.5
    rise_trigger: float = 3.0
    floor_prior_px: float = 0.1
    floor_min_px: float = 0.03
    settle_s: float = 0.5
    confirm_s: float = 0.05
    decide_s: float = 0.22
    merge_gap_s: float = 1.0

    def __post_init__(self) -> None:
        check_range(self, *(field.name for field in fields(self) if field.name != "crop"), above=0)
        check(self, "macro_max_s", self.macro_max_s > self.micro_max_s, "more than micro_max_s")
