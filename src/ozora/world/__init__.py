"""A world whose truth is known: MuJoCo scenes, their physics, their pictures, and captions from that truth."""
