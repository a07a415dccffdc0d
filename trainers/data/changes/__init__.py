"""Changes of the frames of a flow set before any recognizer sees them, each paper's in a file of its own."""
