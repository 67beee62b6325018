"""Everything that the network families share."""
