"""The pure translation of Flyte's templates."""
