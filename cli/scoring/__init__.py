"""What `ecomdeploy score` asks: the servers of a pack, on this machine."""
