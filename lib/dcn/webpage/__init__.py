"""Web pages that are one file each, style, pictures and charts inside, so that they work offline: what all commands
that write one share."""
