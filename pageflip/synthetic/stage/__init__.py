"""The drawn scene: desk, props, light, camera, and the script of a recording."""
