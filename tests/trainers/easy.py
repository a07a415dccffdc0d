"""Settings of flow that is easy to classify, and of a training that takes seconds."""

from merau.trainers.data.synth.flow_fields import FlowSettings
from merau.trainers.learn.fusion import FlowTraining

EASY = FlowSettings(peak_px=(3, 6), noise_px=(0.01, 0.02), head_px=(0.01, 0.02))
FEW = FlowTraining(samples=800, epochs=12, batch=64, nets=1, perceptrons=1)
EXPRESSIONS = FlowSettings(no_expression=0, peak_px=(2, 8))
