"""Network architectures, one file for each paper."""
