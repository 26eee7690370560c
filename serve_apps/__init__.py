"""One Ray Serve application a file: ``serve run serve_apps.retrieval:app workspace=W``."""
