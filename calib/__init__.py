"""Offline calibration: probabilities, quantization, domain gauge."""
