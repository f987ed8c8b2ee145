"""The scene: desk, props, light, camera, the script of a recording, and its renderer."""
