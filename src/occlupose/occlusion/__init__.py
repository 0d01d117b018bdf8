"""Occlusion as data: find it (cylinders, surfaces, flow agreement) and make it (blocks, gaps). Methods use it."""
