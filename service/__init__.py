"""The HTTP front end: routes, admission, errors. Imports no torch; knows the worker only by the name its jobs carry."""
