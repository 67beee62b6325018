"""The generated data set, painted on first use: creatures with boxes and label maps."""
