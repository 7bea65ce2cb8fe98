"""What a notebook shows: pictures of connections, kernels, bytes and measurements."""
