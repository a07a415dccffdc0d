"""A study: the recordings of several participants, summed up in one table and compared."""
