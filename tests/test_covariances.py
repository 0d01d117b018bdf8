import numpy as np
import torch

from occlupose.covariances import SYMMETRIC, UNIT, to_matrix, to_six


def test_a_covariance_is_six_numbers_or_a_matrix():
    six = np.arange(12.0).reshape(2, 6)
    matrix = to_matrix(six)
    np.testing.assert_array_equal(matrix[0], [[0, 3, 4], [3, 1, 5], [4, 5, 2]])
    np.testing.assert_array_equal(to_six(matrix), six)
    np.testing.assert_array_equal(to_six(to_matrix(torch.from_numpy(six))).numpy(), six)


def test_six_numbers_are_those_that_draws_have():
    factor = np.array([[1.0, 0, 0], [0.5, 2, 0], [-1, 0.3, 0.7]])
    draws = np.random.default_rng(0).standard_normal((20_000, 3)) @ factor.T
    covariance = np.cov(draws.T)
    np.testing.assert_allclose(to_six(covariance)[3:], [covariance[0, 1], covariance[0, 2], covariance[1, 2]])
    np.testing.assert_allclose(to_six(covariance), to_six(factor @ factor.T), atol=0.1)


def test_the_unit_has_no_correlations():
    np.testing.assert_array_equal(to_matrix(UNIT), np.eye(3))
    assert to_matrix(np.zeros((0, 4, 6))).shape == (0, 4, 3, 3) and to_six(np.zeros((5, 0, 3, 3))).shape == (5, 0, 6)
    assert [SYMMETRIC[row * 3 + column] for row in range(3) for column in range(3)] == [
        SYMMETRIC[column * 3 + row] for row in range(3) for column in range(3)
    ]
