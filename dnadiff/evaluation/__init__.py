"""What is measured: likelihood against floors, and generated sequences against real ones."""
