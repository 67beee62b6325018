"""Pictures: detections, the sampling points of deformable convolution, the part offsets of deformable RoI pooling."""
