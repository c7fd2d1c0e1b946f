"""Who may do what from within a cluster of the emulated EKS: the roles of its pods."""
