"""Seeds that keep data for training, calibration and evaluation apart."""

CALIBRATION_SEED = 1_000_003  # added to the seed of a training: flows for quantization and calibration
EVALUATION_SEED = 2_000_003  # training uses small seeds
EVALUATION_SAMPLES = 6000
