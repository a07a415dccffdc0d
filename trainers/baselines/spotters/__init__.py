"""Methods that spot expressions in long videos, each paper's in a file of its own, for comparison with our spotter."""
