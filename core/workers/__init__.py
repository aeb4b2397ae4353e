"""Processes of their own: trainings and compilations that run beside an application."""
