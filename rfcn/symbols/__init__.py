"""The symbol classes of R-FCN, one file a network, under the names of the original."""
