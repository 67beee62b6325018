"""Files for other runtimes: ONNX and OpenVINO, of standard operations alone, and certificates of what they compute."""
