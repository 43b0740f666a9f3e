//! What leaving means to AWS: out of the target group first, the lifecycle action last.
