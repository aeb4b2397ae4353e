"""What all sessions share: models, test images, computations under way, trainings."""
