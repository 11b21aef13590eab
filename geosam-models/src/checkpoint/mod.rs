//! PyTorch and safetensors checkpoints under official tensor names, lazily.
