"""A staged training that takes seconds."""

from merau.trainers.learn.settings import DetectorSettings, FusionSettings, Setting, TcaeSettings

SMALL = Setting(
    TcaeSettings(size_px=32, base=4, epochs=4, batch=8),
    DetectorSettings(aus=(1, 2, 4, 12), epochs=3, batch=8),
    FusionSettings(epochs=4, batch=8, shots=2, queries=3, episodes=5),
    kept_back=0.3,
)
