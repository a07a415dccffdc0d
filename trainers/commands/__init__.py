"""The commands of merau-lab.

In each module `add_parser` declares a command and `run` carries it out.
"""
