"""What a step of a lesson shows: one file, one or two scenes, each with the state it can be set to."""

from dashboard.lessons.scenes.base import Places, Scene, Stage, scenes

__all__ = ["Places", "Scene", "Stage", "scenes"]
