"""Data sets: releases, flow sets and synthetic data."""
