"""An EKS cluster that is the local Kubernetes: its nodes are what its node groups ask for."""
