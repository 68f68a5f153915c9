"""What a run is and where its record lies; which runs belong together and how they compare."""
