"""Training: the stages of MERAU, their settings and checkpoints."""
