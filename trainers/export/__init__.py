"""Export of trained models as bundles."""
