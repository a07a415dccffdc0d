"""Synthetic data, training, evaluation and export of recognizers with PyTorch.

The live path never imports it.
"""
