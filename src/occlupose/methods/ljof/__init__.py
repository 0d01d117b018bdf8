"""LJOF (arXiv 2410.09885): training of heatmap estimators for occlusion, with blocks over limb joints (LJA) and a
structure loss of growing weight (DSL).
"""
