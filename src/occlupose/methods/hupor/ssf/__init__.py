"""Skeleton-guided Shape Fitting, HUPOR's label generator: bodies fitted to 3D skeletons determine which joints of an
image are hidden (HUPOR, arXiv 2208.00090, supplement 2.2).
"""
