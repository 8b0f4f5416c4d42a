"""What a network is trained for: its outputs, the losses on them, and the teacher."""
