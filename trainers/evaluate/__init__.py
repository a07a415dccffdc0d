"""Evaluation: protocols, metrics, reports and the leaderboard."""
