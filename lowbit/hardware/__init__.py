"""An accelerator for recurrent layers with few-bit weights: its integers, its cycles, its gates and what they cost."""
