"""An account's quotas, asked before anything is made that they would refuse. Reading calls only."""
