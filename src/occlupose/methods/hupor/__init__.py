"""HUPOR (ECCV 2022): what is seen is detected, what is hidden is reasoned about, and fitted bodies say which is
which.
"""
