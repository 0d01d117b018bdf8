"""DSED behind other bottom-up networks, in 2D (HUPOR, arXiv 2208.00090, supplement 1.2 and 1.3), and HUPOR in
2D."""
