"""Occlusion as data: find it (cylinders, evidence) and make it (blocks, gaps). Using it belongs to the method that
does.
"""
