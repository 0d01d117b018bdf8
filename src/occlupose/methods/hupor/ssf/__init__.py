"""Skeleton-guided Shape Fitting, HUPOR's label generator: bodies fitted to 3D skeletons say which joints of a picture
are hidden.
"""
