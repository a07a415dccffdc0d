"""Loaders of published data sets, one module for each release."""
