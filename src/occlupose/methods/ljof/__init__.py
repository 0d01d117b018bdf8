"""LJOF (arXiv 2410.09885): heatmap estimators that learn to see through occlusion, by blocks on limbs and a loss that
grows in.
"""
