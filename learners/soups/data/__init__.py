"""What merges need of data: Fisher information, Gram matrices, batch-norm statistics, corrupted samples."""
