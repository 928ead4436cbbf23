"""The page: a mesh in a browser. Plain modules that a browser runs as they are; start at `app.js`."""
