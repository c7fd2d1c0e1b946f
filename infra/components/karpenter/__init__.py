"""Karpenter on EKS: what its controller needs of AWS, and pools of nodes that it brings and lets go."""
