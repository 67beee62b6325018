"""The symbol classes of Faster R-CNN, one file a network, under the names of the original."""
