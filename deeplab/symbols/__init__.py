"""The symbol classes of DeepLab, one file a network, under the names of the original."""
