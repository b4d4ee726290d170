"""The thin Lightning shell around the core: loop, devices, precision, logs, checkpoints. Only it imports Lightning."""
