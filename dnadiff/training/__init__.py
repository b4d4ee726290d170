"""The thin Lightning shell around the core: loop, devices, precision, logging and checkpoints. Nothing else imports Lightning."""
