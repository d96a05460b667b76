"""A data set made by a teacher: paid once, kept whatever happens, balanced while it is made."""
