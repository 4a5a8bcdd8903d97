"""What does a trajectory look like? Frames, masks and depth, from MuJoCo's renderer.

One renderer serves every scene: its model holds the textures and the meshes, and a frame's floor and bodies are written
straight into the list of things to draw. (Compiling a model and making a context for every scene costs more than the
frames do.) What a frame shows is a ``Picture``, so whoever has pictures of two scenes can draw what is between them.
"""

# pyright: reportAttributeAccessIssue=false
# MuJoCo's names come from compiled modules that pyright does not see.

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import mujoco
import numpy as np
from jaxtyping import Float, UInt8

from ozora.clip import Clip
from ozora.world.camera import Pose, poses
from ozora.world.meshes import BREAKABLE, OCTANTS, cone_points, octant_points, wedge_points
from ozora.world.scene import COLORS, FLOORS, PALETTE, PROP_COLORS, SKIES, Body, Color, Scene, Trajectory

LARGEST_SIDE = 1024  # pixels, of a picture as rendered
_NEAR, _FAR = 0.05, 120.0  # metres
_UNLABELLED = 255  # MuJoCo writes this number plus one into red (low byte) and green: no red is left
_FLOOR = 60.0  # metres, half of the floor's side
_SKY_ROWS = 64
_PALETTE_RGB = np.array([{**COLORS, **PROP_COLORS}[name] for name in PALETTE])
_PRIMITIVES = {
    "sphere": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "patch": mujoco.mjtGeom.mjGEOM_CYLINDER,
}
_ROD_RADIUS = 0.014  # metres
_FLOOR_SIDE = 64  # texels, of a checker of two by two
_BELT_SIDE = 32  # texels


@dataclass(frozen=True, eq=False)
class Drawn:
    """A body as one frame shows it: metres, rgb from 0 to 1, ``number`` is its index in the scene."""

    body: Body
    number: int
    position: Float[np.ndarray, " 3"]
    quaternion: Float[np.ndarray, " 4"]
    half_extents: Float[np.ndarray, " 3"]
    color: Float[np.ndarray, " 3"]


@dataclass(frozen=True, eq=False)
class Rod:
    """What body ``number`` hangs on, from ``top`` to ``bottom``; ``thickness`` 1 is the usual one."""

    number: int
    top: Float[np.ndarray, " 3"]
    bottom: Float[np.ndarray, " 3"]
    thickness: float = 1.0


@dataclass(frozen=True, eq=False)
class Picture:
    """All that one frame shows. ``light`` is the unit vector it shines along, ``lit`` the point the lamp is aimed at.

    ``floor`` is the two tones of the checker (equal for a plain floor), ``sky`` the colours of zenith and horizon.
    """

    seen_from: Pose
    light: Float[np.ndarray, " 3"]
    lit: Float[np.ndarray, " 3"]
    floor: tuple[Color, Color]
    sky: tuple[Color, Color]
    bodies: tuple[Drawn, ...]
    rods: tuple[Rod, ...]


def render(scene: Scene, trajectory: Trajectory, *, oversample: int = 2, shadows: bool = True) -> Clip:
    """Frames of the scene, each rendered ``oversample`` times larger and averaged down.

    Pixels are identical from call to call with one MuJoCo version on one OpenGL driver. Raises ``ValueError`` for a
    scene whose frames, oversampled, are larger than LARGEST_SIDE.
    """
    return render_pictures(pictures(scene, trajectory), scene.width, scene.height, scene.fps, oversample, shadows)


def render_pictures(
    shown: Sequence[Picture], width: int, height: int, fps: float, oversample: int = 2, shadows: bool = True
) -> Clip:
    """The same for frames given as pictures, of ``width`` x ``height`` pixels at ``fps`` frames per second."""
    stage = _prepared(width * oversample, height * oversample)
    frames = np.empty((len(shown), height, width, 3), np.uint8)
    pixels = np.empty((height * oversample, width * oversample, 3), np.uint8)
    for i, picture in enumerate(shown):
        stage.draw(picture, shadows=shadows)
        stage.read(pixels, None)
        frames[i] = _averaged(pixels, oversample)[::-1]
    return Clip(frames, fps)


def pictures(scene: Scene, trajectory: Trajectory) -> list[Picture]:
    """What every frame of the scene shows."""
    return [_picture(scene, trajectory, i, seen_from) for i, seen_from in enumerate(poses(scene))]


def _picture(scene: Scene, trajectory: Trajectory, i: int, seen_from: Pose) -> Picture:
    seen = [(k, body) for k, body in enumerate(scene.bodies) if trajectory.visible[i, k]]
    return Picture(
        seen_from=seen_from,
        light=np.array(scene.light) / np.linalg.norm(scene.light),
        lit=np.array(scene.camera.look_at),
        floor=FLOORS[scene.floor],
        sky=SKIES[scene.sky],
        bodies=tuple(
            Drawn(
                body=body,
                number=k,
                position=trajectory.position[i, k],
                quaternion=trajectory.quaternion[i, k],
                half_extents=np.array(body.half_extents) * trajectory.scale[i, k],
                color=_PALETTE_RGB[trajectory.color[i, k]],
            )
            for k, body in seen
        ),
        rods=tuple(
            Rod(k, np.array(body.pivot), trajectory.position[i, k]) for k, body in seen if body.pivot is not None
        ),
    )


def render_masks(scene: Scene, trajectory: Trajectory) -> UInt8[np.ndarray, "t h w"]:
    """Which body each pixel's centre shows: 0 is floor or sky, i + 1 is body i of the scene."""
    stage = _prepared(scene.width, scene.height)
    masks = np.empty((scene.num_frames, scene.height, scene.width), np.uint8)
    pixels = np.empty((scene.height, scene.width, 3), np.uint8)
    for i, picture in enumerate(pictures(scene, trajectory)):
        stage.draw(picture, labels=True)
        stage.read(pixels, None)
        masks[i] = pixels[::-1, :, 0]
    return masks


def render_depth(scene: Scene, trajectory: Trajectory) -> Float[np.ndarray, "t h w"]:
    """Distance in metres along the camera's axis, float32; the sky is at infinity."""
    stage = _prepared(scene.width, scene.height)
    depth = np.empty((scene.num_frames, scene.height, scene.width), np.float32)
    buffer = np.empty((scene.height, scene.width), np.float32)
    for i, picture in enumerate(pictures(scene, trajectory)):
        stage.draw(picture, labels=True)
        stage.read(None, buffer)
        # MuJoCo's depth buffer is reversed: 1 at the near plane, 0 at the far one.
        far_away = buffer <= 0
        metres = _NEAR * _FAR / (_NEAR + np.where(far_away, 1.0, buffer.astype(np.float64)) * (_FAR - _NEAR))
        depth[i] = np.where(far_away, np.inf, metres)[::-1]
    return depth


class _Stage:
    """A renderer with everything that any scene needs; one for each process."""

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_string(_stage_xml())
        self.data = mujoco.MjData(self.model)
        mujoco.mj_forward(self.model, self.data)
        self._write("belt", _slats())
        self.gl = _gl_context(LARGEST_SIDE)
        self.gl.make_current()
        self.context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_50)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self.context)
        self.context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self.drawing = mujoco.MjvScene(self.model, maxgeom=512)
        self.option = mujoco.MjvOption()
        self.eye = mujoco.MjvCamera()
        self.eye.type = mujoco.mjtCamera.mjCAMERA_FREE
        self.viewport = mujoco.MjrRect(0, 0, 64, 64)
        self.uploaded: dict[str, object] = {}  # what each texture that changes shows now
        self.materials = {self.model.material(i).name: i for i in range(self.model.nmat)}
        self.meshes = {self.model.mesh(i).name: i for i in range(self.model.nmesh)}

    def _write(self, texture: str, texels: UInt8[np.ndarray, "rows columns 3"]) -> None:
        start = int(self.model.texture(texture).adr[0])
        self.model.tex_data[start : start + texels.size] = texels.reshape(-1)

    def _upload(self, texture: str, colors: tuple[Color, Color]) -> None:
        """Let the sky or the floor show these two colours, if it does not already."""
        if self.uploaded.get(texture) != colors:
            self._write(texture, _sky_faces(*colors) if texture == "sky" else _checker(*colors))
            mujoco.mjr_uploadTexture(self.model, self.context, int(self.model.texture(texture).id))
            self.uploaded[texture] = colors

    def draw(self, picture: Picture, *, shadows: bool = True, labels: bool = False) -> None:
        """One frame into the off-screen buffer; ``labels`` writes body number + 1 in red instead of colours."""
        seen_from = picture.seen_from
        self._upload("sky", picture.sky)
        self.eye.lookat[:] = seen_from.position + seen_from.forward
        self.eye.distance = 1.0
        self.eye.azimuth, self.eye.elevation = seen_from.azimuth, seen_from.elevation
        self.model.vis.global_.fovy = float(2 * np.degrees(np.arctan(seen_from.tangent_y)))
        drawing = self.drawing
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self.model, self.data, self.option, None, self.eye, everything, drawing)
        self._draw_floor(*picture.floor)
        lamp = drawing.lights[drawing.nlight - 1]  # the first is the headlight
        lamp.dir[:] = picture.light
        lamp.pos[:] = picture.lit - 6 * lamp.dir
        drawing.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows and not labels
        drawing.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = not labels
        drawing.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = labels
        drawing.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = labels
        drawing.flags[mujoco.mjtRndFlag.mjRND_HAZE] = False
        for drawn in picture.bodies:
            self._draw_body(drawn)
        for rod in picture.rods:
            self._draw_rod(rod)
        mujoco.mjr_render(self.viewport, drawing, self.context)

    def _draw_floor(self, one: Color, other: Color) -> None:
        # A flat box: MuJoCo's infinite plane is a fine grid, which costs four times what all the rest does.
        floor = self._add(mujoco.mjtGeom.mjGEOM_BOX, np.array([_FLOOR, _FLOOR, 0.5]), np.array([0.0, 0.0, -0.5]))
        floor.category = mujoco.mjtCatBit.mjCAT_DECOR  # takes shadows and casts none, so none on itself
        floor.specular = 0.0
        floor.segid = _UNLABELLED
        if one == other:
            floor.rgba[:3] = one
        else:
            self._upload("floor", (one, other))
            floor.matid = self.materials["floor"]

    def _draw_body(self, drawn: Drawn) -> None:
        body, position, extents = drawn.body, drawn.position, drawn.half_extents
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, drawn.quaternion)
        rotation = rotation.reshape(3, 3)
        if body.octant >= 0 or body.shape in ("cone", "ramp"):
            mesh = self.meshes[body.shape if body.octant < 0 else f"{_piece_shape(body.shape)} {body.octant}"]
            # A compiled mesh lies in its own inertial frame; its matrix also carries our scale.
            frame = np.empty(9)
            mujoco.mju_quat2Mat(frame, self.model.mesh_quat[mesh])
            stretched = rotation * extents
            matrix = stretched @ frame.reshape(3, 3)
            geom = self._add(mujoco.mjtGeom.mjGEOM_MESH, np.ones(3), position + stretched @ self.model.mesh_pos[mesh])
            geom.dataid = 2 * mesh
            geom.mat[:] = matrix
        else:
            kind = _PRIMITIVES.get(body.shape, mujoco.mjtGeom.mjGEOM_BOX)
            if body.shape == "capsule":
                extents = np.array([extents[0], extents[0], extents[2] - extents[0]])
            geom = self._add(kind, extents, position)
            geom.mat[:] = rotation
        geom.rgba[:] = np.append(drawn.color, 1.0)
        geom.segid = drawn.number
        if body.role == "prop":
            geom.specular = 0.0
        if body.shape == "belt":
            geom.matid = self.materials["belt"]

    def _draw_rod(self, rod: Rod) -> None:
        top, bottom, radius = rod.top, rod.bottom, _ROD_RADIUS * rod.thickness
        along = (top - bottom) / max(1e-9, float(np.linalg.norm(top - bottom)))
        side = np.cross(along, [0.0, 1.0, 0.0])
        side /= np.linalg.norm(side)
        size = np.array([radius, radius, np.linalg.norm(top - bottom) / 2])
        geom = self._add(mujoco.mjtGeom.mjGEOM_CYLINDER, size, (top + bottom) / 2)
        geom.mat[:] = np.stack([side, np.cross(along, side), along], axis=1)
        geom.rgba[:] = (0.30, 0.30, 0.31, 1.0)
        geom.segid = _UNLABELLED

    def _add(self, kind: mujoco.mjtGeom, size: np.ndarray, position: np.ndarray) -> mujoco.MjvGeom:
        geom = self.drawing.geoms[self.drawing.ngeom]
        mujoco.mjv_initGeom(geom, kind, np.ones(3), position, np.eye(3).reshape(-1), np.ones(4, np.float32))
        geom.size[:] = size  # half extents for every kind, unlike the numbers that mjv_initGeom takes
        geom.category = mujoco.mjtCatBit.mjCAT_DYNAMIC
        geom.specular, geom.shininess, geom.emission = 0.25, 0.5, 0.0
        self.drawing.ngeom += 1
        return geom

    def read(self, pixels: np.ndarray | None, depth: np.ndarray | None) -> None:
        mujoco.mjr_readPixels(pixels, depth, self.viewport, self.context)


@cache
def _stage() -> _Stage:
    return _Stage()


def _prepared(width: int, height: int) -> _Stage:
    if max(width, height) > LARGEST_SIDE or min(width, height) < 1:
        raise ValueError(f"{width}x{height} pixels were asked for; a side is from 1 to {LARGEST_SIDE}, oversampled")
    stage = _stage()
    stage.gl.make_current()
    stage.viewport = mujoco.MjrRect(0, 0, width, height)
    return stage


def _averaged(pixels: UInt8[np.ndarray, "hh ww 3"], factor: int) -> UInt8[np.ndarray, "h w 3"]:
    if factor == 1:
        return pixels
    total = np.zeros((pixels.shape[0] // factor, pixels.shape[1] // factor, 3), np.uint16)
    for y in range(factor):
        for x in range(factor):
            total += pixels[y::factor, x::factor]
    return ((total + factor * factor // 2) // (factor * factor)).astype(np.uint8)


def _gl_context(side: int):
    """A context that needs no display: EGL on Linux, unless MUJOCO_GL says otherwise."""
    if sys.platform == "linux" and "MUJOCO_GL" not in os.environ:
        # By name, as MuJoCo reads the variable only once, and another module may have imported it before.
        from mujoco.egl import GLContext

        return GLContext(side, side)
    return mujoco.GLContext(side, side)


def _piece_shape(shape: str) -> str:
    return "sphere" if shape == "ellipsoid" else shape


def _sky_faces(zenith: Color, at_horizon: Color) -> UInt8[np.ndarray, "rows columns 3"]:
    """Six faces, one below the other: right, left, up, down, front, back; horizon in the middle of the sides."""
    top, horizon = np.array(zenith) * 255, np.array(at_horizon) * 255
    height = np.clip(1 - 2 * (np.arange(_SKY_ROWS) + 0.5) / _SKY_ROWS, 0, 1)[:, None]
    side = np.broadcast_to((horizon + (top - horizon) * height**0.7)[:, None], (_SKY_ROWS, _SKY_ROWS, 3))
    up, down = np.broadcast_to(top, side.shape), np.broadcast_to(horizon, side.shape)
    return np.concatenate([side, side, up, down, side, side]).round().astype(np.uint8)


def _checker(one: Color, other: Color) -> UInt8[np.ndarray, "rows columns 3"]:
    """Two by two fields, ``one`` first; bytes are cut off as MuJoCo's own checkers' are."""
    half = _FLOOR_SIDE // 2
    fields = np.zeros((_FLOOR_SIDE, _FLOOR_SIDE), int)
    fields[:half, half:] = fields[half:, :half] = 1
    return np.floor(np.round(np.array([one, other]) * 255, 6)).astype(np.uint8)[fields]


def _slats() -> UInt8[np.ndarray, "rows columns 3"]:
    """Across the belt's way, so that one sees it move."""
    slats = np.full((_BELT_SIDE, _BELT_SIDE, 3), 255, np.uint8)
    slats[:, : _BELT_SIDE // 4] = 150
    return slats


def _stage_xml() -> str:
    def mesh(name: str, points: np.ndarray) -> str:
        return f'<mesh name="{name}" vertex="{" ".join(f"{v:.9g}" for v in points.reshape(-1))}"/>'

    pieces = "".join(
        mesh(f"{shape} {i}", octant_points(shape, i))
        for shape in BREAKABLE
        if shape != "ellipsoid"
        for i in range(len(OCTANTS))
    )
    return f"""
<mujoco>
  <visual>
    <global offwidth="{LARGEST_SIDE}" offheight="{LARGEST_SIDE}"/>
    <quality shadowsize="512" offsamples="0" numslices="36" numstacks="20" numquads="1"/>
    <map znear="{_NEAR}" zfar="{_FAR}" shadowclip="3.2" shadowscale="0.9"/>
    <headlight ambient="0.57 0.57 0.57" diffuse="0.16 0.16 0.16" specular="0 0 0"/>
  </visual>
  <statistic extent="1" center="0 0 0.7"/>
  <asset>
    <texture name="sky" type="skybox" builtin="flat" width="{_SKY_ROWS}" height="{6 * _SKY_ROWS}" rgb1="1 1 1"/>
    <texture name="floor" type="2d" builtin="flat" width="{_FLOOR_SIDE}" height="{_FLOOR_SIDE}" rgb1="1 1 1"/>
    <material name="floor" texture="floor" texrepeat="1 1" texuniform="true" specular="0" reflectance="0"/>
    <texture name="belt" type="2d" builtin="flat" width="{_BELT_SIDE}" height="{_BELT_SIDE}" rgb1="1 1 1"/>
    <material name="belt" texture="belt" texrepeat="3 3" texuniform="true" specular="0"/>
    {mesh("cone", cone_points())}
    {mesh("ramp", wedge_points())}
    {pieces}
  </asset>
  <worldbody>
    <light type="directional" pos="0 0 5" ambient="0 0 0" diffuse="0.36 0.36 0.36" specular="0.4 0.4 0.4"/>
  </worldbody>
</mujoco>"""
