"""Cameras in service for weeks: a configuration file, and the supervisor that keeps its cameras running.

config      what the configuration file may say, as models
reading     the configuration file itself: YAML with secrets from elsewhere, errors with their line
supervisor  runs the cameras of a configuration on a workspace, and follows its changes
events      what the supervisor tells others: events and states of cameras
alerts      whom to tell of events: MQTT and webhooks
"""
