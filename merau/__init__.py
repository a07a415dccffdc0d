"""Real-time micro-expression recognition."""
