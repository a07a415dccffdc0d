"""Alarms: which events are told to others, and how they get there."""
