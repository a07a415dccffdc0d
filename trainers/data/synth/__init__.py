"""Synthetic faces: Action Units, timelines, portraits, clips and flow fields."""
