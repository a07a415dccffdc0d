"""Merau in service: cameras by a configuration file, alarms, metrics and health."""
