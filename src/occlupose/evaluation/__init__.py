"""Evaluation by the protocols of datasets: 2D keypoints, 3D poses lifted from 2D, and multi-person 3D poses."""
