"""Occlusion as data: how methods find it (cylinders, surfaces, confidence) and simulate it (blocks, gaps)."""
