"""The engine process: claims jobs, advances their rows step by step, stores pictures, reports to the queue."""
