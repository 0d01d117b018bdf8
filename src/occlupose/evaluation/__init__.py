"""Scores by the protocols of datasets: 3D poses lifted from 2D, and 2D joints in pictures."""
