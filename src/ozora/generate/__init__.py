"""What makes a clip with a trained model? The model folder, the tasks and the generator."""
