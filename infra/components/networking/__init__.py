"""The network of a platform: addresses, ways in and out, endpoints, flow logs, the group of model servers."""
