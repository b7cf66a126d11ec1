"""What those have in common who answer HTTP: a port, uvicorn, and requests that are not trusted."""
