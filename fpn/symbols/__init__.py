"""The symbol classes of FPN, one file a network, under the names of the original."""
