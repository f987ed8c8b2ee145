"""The training loop: data loading, augmentation, checkpoints, distillation."""
