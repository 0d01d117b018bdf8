"""File formats of datasets, one module each: what reads them into records."""
