"""The guard of a rollout on Kubernetes: a pod of the server's own image that watches a new release's alarms, and
whether somebody still leads the rollout, and puts the traffic back where it was when the one rings or the other is
silent.

It rests on the standard library alone, as it runs in the model's image; what it shares with the command line (how an
alarm reads, what the Lease says) is here, too.
"""
