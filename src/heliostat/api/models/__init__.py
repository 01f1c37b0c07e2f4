"""The public shapes: ``bodies`` reads and checks what comes in, ``answers`` describes what goes out."""
