"""Train the spotter's classifier: clips of several motion models, candidates, two learners, tuning and reports."""
