//! Where a consumer goes on: committed offsets, timestamps, resets.
