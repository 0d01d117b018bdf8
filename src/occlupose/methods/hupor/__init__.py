"""HUPOR (ECCV 2022): detects visible joints, infers hidden ones, and labels occlusion by fitted bodies."""
