"""What a cluster lacks for a service, asked before anything is sent. One file a check."""
