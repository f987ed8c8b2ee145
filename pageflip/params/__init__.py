"""The parameters of `params.yaml` as typed sections, one module per section."""
