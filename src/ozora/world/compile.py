"""How does a scene become a MuJoCo model? Shapes, masses, joints and the springs that stand for impacts."""

# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules that pyright does not see.

import mujoco
import numpy as np

from ozora.world.meshes import cone_points, octant_points, wedge_points
from ozora.world.scene import Body, Scene

_STIFFNESS = 40_000.0  # 1/s2: a contact is a spring of this stiffness per mass, so an impact lasts about 16 ms
_MESHES = {"cone": cone_points, "ramp": wedge_points}


def compile_scene(scene: Scene, step: float) -> mujoco.MjModel:
    """A model whose body k + 1 is the scene's body k and whose geom 0 is the floor, with steps of ``step`` seconds.

    Raises ``ValueError`` for what MuJoCo refuses: two bodies of one name, a size that is not positive.
    """
    spec = mujoco.MjSpec()
    spec.option.timestep = step
    spec.option.gravity = np.array([0, 0, -scene.gravity])
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 5.0
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    floor = spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=np.array([50.0, 50.0, 1.0]))
    floor.condim = 1
    try:
        for body in scene.bodies:
            _add_body(spec, body)
        return spec.compile()
    except ValueError as error:
        raise ValueError(f"MuJoCo refuses the scene {scene.family} {scene.seed}: {error}") from error


def _add_body(spec: mujoco.MjSpec, body: Body) -> None:
    frame = spec.worldbody.add_body(name=body.name, pos=np.array(body.position), quat=np.array(body.quaternion))
    x, y, z = body.half_extents
    geom = frame.add_geom(density=body.density)
    if body.octant >= 0 or body.shape in ("cone", "ramp"):
        points = octant_points(body.shape, body.octant) if body.octant >= 0 else _MESHES[body.shape]()
        mesh = spec.add_mesh(name=f"mesh of {body.name}")
        mesh.uservert = (points * np.array(body.half_extents)).reshape(-1)
        geom.type, geom.meshname = mujoco.mjtGeom.mjGEOM_MESH, mesh.name
    elif body.shape == "sphere" and x == y == z:
        geom.type, geom.size = mujoco.mjtGeom.mjGEOM_SPHERE, np.array([x, 0, 0])
    elif body.shape in ("sphere", "ellipsoid"):
        geom.type, geom.size = mujoco.mjtGeom.mjGEOM_ELLIPSOID, np.array([x, y, z])
    elif body.shape in ("cylinder", "patch"):
        geom.type, geom.size = mujoco.mjtGeom.mjGEOM_CYLINDER, np.array([x, z, 0])
    elif body.shape == "capsule":
        geom.type, geom.size = mujoco.mjtGeom.mjGEOM_CAPSULE, np.array([x, z - x, 0])
    else:
        geom.type, geom.size = mujoco.mjtGeom.mjGEOM_BOX, np.array([x, y, z])
    # The object's own surface decides against floor and props; between two objects the larger friction
    # and the stronger damping do.
    geom.priority = 0 if body.role == "prop" else 1
    geom.condim = 1 if body.friction == 0 else 6 if body.rolling_friction > 0 else 3
    geom.friction = np.array([body.friction, 0.002, body.rolling_friction])
    geom.solref = np.array([-_STIFFNESS, -_damping(body.bounce)])
    geom.solimp = np.array([0.98, 0.98, 0.001, 0.5, 2.0])
    if body.shape == "patch":
        geom.contype, geom.conaffinity = 0, 0
    if body.pivot is not None:
        arm = np.empty(3)
        back = np.array([1.0, -1.0, -1.0, -1.0]) * np.array(body.quaternion)
        mujoco.mju_rotVecQuat(arm, np.array(body.pivot) - np.array(body.position), back)
        axis = np.empty(3)
        mujoco.mju_rotVecQuat(axis, np.array([0.0, 1.0, 0.0]), back)
        frame.add_joint(type=mujoco.mjtJoint.mjJNT_HINGE, pos=arm, axis=axis)
    elif body.drive:
        frame.add_joint(type=mujoco.mjtJoint.mjJNT_SLIDE, axis=np.array([1.0, 0.0, 0.0]))
    elif not body.fixed:
        frame.add_freejoint()


def _damping(bounce: float) -> float:
    """Damping (1/s) of a spring whose mass leaves with a share e of its speed: ln e = -pi z / sqrt(1 - z2)."""
    log = np.log(min(max(bounce, 0.02), 1.0))
    ratio = -log / np.sqrt(np.pi**2 + log**2)
    return float(2 * ratio * np.sqrt(_STIFFNESS))
