"""Where on the stage is what a pixel shows? Pixels become metres on the upright plane through the stage's middle.

The worlds' cameras differ little (their distance by five percent), and objects move on or near that plane, so the
camera that was asked for gives metres in any clip of the prompt, to about five percent for each.
"""

import numpy as np
from jaxtyping import Float

from ozora.world.camera import pose
from ozora.world.scene import Scene


def on_stage(scene: Scene, pixels: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
    """Pixels (y, x; their middles are whole numbers) -> metres (to the right, above the floor) on the plane y = 0.

    NaN stays NaN. Raises ``ValueError`` where the camera moves, as one pixel is then many places.
    """
    if scene.camera.motion != "static":
        raise ValueError(f"the camera's motion is {scene.camera.motion!r}; places on the stage need a static one")
    seen_from = pose(scene.camera, 0.5, scene.width, scene.height)
    across = ((2 * pixels[..., 1] + 1) / scene.width - 1) * seen_from.tangent_x
    upward = (1 - (2 * pixels[..., 0] + 1) / scene.height) * seen_from.tangent_y
    ray = seen_from.forward + across[..., None] * seen_from.right + upward[..., None] * seen_from.up
    meets = seen_from.position - ray * (seen_from.position[1] / ray[..., 1])[..., None]
    return meets[..., [0, 2]]
