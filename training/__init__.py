"""How the bundled cascade is made: data, trainers, and the recipe that runs them."""
