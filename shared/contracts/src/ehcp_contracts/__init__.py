"""Domain events of the EHC-plan hub: classes, CloudEvents envelope, published schemas."""
