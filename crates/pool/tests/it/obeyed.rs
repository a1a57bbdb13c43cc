//! What the metadata and the host's configuration say is obeyed by every change: see docs/obeyed.md.

mod block_sizes;
