/** The people in 3D, in metres, with y up; turned by mouse or finger. */

import {
  BufferGeometry,
  Color,
  CylinderGeometry,
  DirectionalLight,
  Float32BufferAttribute,
  Group,
  HemisphereLight,
  InstancedMesh,
  LineBasicMaterial,
  LineSegments,
  Matrix4,
  MeshLambertMaterial,
  OrbitControls,
  PerspectiveCamera,
  Quaternion,
  Scene,
  SphereGeometry,
  Vector3,
  WebGLRenderer,
} from "three";
import { ABSENT, VISIBLE } from "occlupose/people";

const UP = new Vector3(0, 1, 0);
const FIELD_OF_VIEW = 38; // degrees
const FILLED = 0.9; // of the first view by the people
const MARGIN = 0.15; // around every joint, metres
const RAISED = 0.22; // of the first view above the horizon, radians
const GRID = { colour: 0x4a505c, margin: 1.5, most: 40 }; // metres
const FRUSTUM = 0.35; // drawn length of the real camera, metres

/** Many copies of one shape, each with a place and a colour. */
class Copies {
  constructor(world, shape, count, look) {
    this.mesh = new InstancedMesh(shape, new MeshLambertMaterial(look), count);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = look.transparent ? 1 : 0;
    this.mesh.setColorAt(0, new Color());
    world.add(this.mesh);
  }

  clear() {
    this.mesh.count = 0;
  }

  add(matrix, colour) {
    this.mesh.setMatrixAt(this.mesh.count, matrix);
    this.mesh.setColorAt(this.mesh.count, colour);
    this.mesh.count += 1;
  }

  finish() {
    this.mesh.instanceMatrix.needsUpdate = true;
    this.mesh.instanceColor.needsUpdate = true;
  }
}

export class Space {
  /**
   * Throws where the browser has no WebGL.
   *
   * @param {Poses} poses - in 3D.
   * @param {HTMLElement} pane - that the view fills.
   */
  constructor(poses, pane) {
    this.poses = poses;
    this.pane = pane;
    this.uncertainty = true;
    this.stale = true;
    this.colours = new Map();
    this.renderer = new WebGLRenderer({ antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
    pane.append(this.renderer.domElement);
    this.scene = new Scene();
    this.scene.add(new HemisphereLight(0xffffff, 0x667080, 2.2));
    const lamp = new DirectionalLight(0xffffff, 1.6);
    lamp.position.set(-2, 4, 3);
    this.scene.add(lamp);
    this.world = new Group();
    this.scene.add(this.world);
    this.addFloor();
    this.addCamera();
    this.addBodies();
    this.camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.05, 500);
    this.controls = new OrbitControls(this.camera, this.renderer.domElement);
    this.controls.addEventListener("change", () => {
      this.stale = true;
    });
    new ResizeObserver(() => this.resize()).observe(pane);
    this.resize();
    this.reset();
  }

  /** A joint's place with y up: x right, y up, z towards the real camera. */
  place(person, at, target) {
    return target.set(person.xyz[3 * at], -person.xyz[3 * at + 1], -person.xyz[3 * at + 2]);
  }

  /** Places of the roots, or else of any known joints, of everybody in some hundred frames. */
  *places() {
    const every = Math.max(1, Math.floor(this.poses.time.length / 100));
    for (const person of this.poses.people.filter((each) => each.xyz)) {
      for (let own = 0; own < person.length; own += every) {
        for (let joint = 0; joint < person.joints; joint += 1) {
          const place = this.place(person, own * person.joints + joint, new Vector3());
          if (Number.isFinite(place.x + place.y + place.z)) {
            yield place;
          }
        }
      }
    }
  }

  /** The floor, level at height 0, with lines a metre apart; without one everything stays as the camera sees it. */
  addFloor() {
    const { floor } = this.poses;
    if (floor === null) {
      return;
    }
    const up = new Vector3(floor.normal[0], -floor.normal[1], -floor.normal[2]).normalize();
    this.world.quaternion.setFromUnitVectors(up, UP);
    this.world.position.y = -floor.offset;
    const level = [...this.places()].map((place) => place.applyQuaternion(this.world.quaternion));
    const range = (along) => {
      const [least, most] = bounds(level.map((place) => place[along]));
      const low = Math.floor(least - GRID.margin);
      return [low, Math.min(Math.ceil(most + GRID.margin), low + GRID.most)];
    };
    const [left, right] = range("x");
    const [far, near] = range("z");
    const ends = [];
    for (let x = left; x <= right; x += 1) {
      ends.push(x, 0, far, x, 0, near);
    }
    for (let z = far; z <= near; z += 1) {
      ends.push(left, 0, z, right, 0, z);
    }
    this.scene.add(lines(ends, GRID.colour));
  }

  /** The real camera as a small frustum. */
  addCamera() {
    const { camera, width, height } = this.poses;
    if (camera === null) {
      return;
    }
    const corner = (x, y) => [
      (FRUSTUM * (x - camera.cx)) / camera.fx,
      (-FRUSTUM * (y - camera.cy)) / camera.fy,
      -FRUSTUM,
    ];
    const corners = [corner(0, 0), corner(width, 0), corner(width, height), corner(0, height)];
    const ends = corners.flatMap((each, number) => [0, 0, 0, ...each, ...each, ...corners[(number + 1) % 4]]);
    this.world.add(lines(ends, 0xc8ced6));
  }

  addBodies() {
    const count = Math.max(1, this.poses.people.length);
    const ball = new SphereGeometry(1, 20, 14);
    const stick = new CylinderGeometry(1, 1, 1, 14, 1, true);
    const solid = {};
    const pale = { transparent: true, opacity: 0.38, depthWrite: false };
    const faint = { transparent: true, opacity: 0.16, depthWrite: false };
    const joints = count * Math.max(1, this.poses.joints.length);
    const limbs = count * Math.max(1, this.poses.limbs.length);
    this.joints = [null, new Copies(this.world, ball, joints, pale), new Copies(this.world, ball, joints, solid)];
    this.limbs = [null, new Copies(this.world, stick, limbs, pale), new Copies(this.world, stick, limbs, solid)];
    this.clouds = new Copies(this.world, ball, joints, faint);
    this.copies = [this.joints[1], this.joints[2], this.limbs[1], this.limbs[2], this.clouds];
  }

  colour(text) {
    if (!this.colours.has(text)) {
      this.colours.set(text, new Color(text));
    }
    return this.colours.get(text);
  }

  draw(frame) {
    this.copies.forEach((each) => each.clear());
    for (const [person, offset] of this.poses.shownAt(frame)) {
      if (person.xyz) {
        this.drawPerson(person, offset);
      }
    }
    this.copies.forEach((each) => each.finish());
    this.stale = true;
  }

  drawPerson(person, offset) {
    const { joints, limbs, radii } = this.poses;
    const places = joints.map((_, joint) => this.place(person, offset + joint, new Vector3()));
    const known = (joint) => (Number.isFinite(places[joint].x) ? person.state[offset + joint] : ABSENT);
    const none = new Quaternion();
    const matrix = new Matrix4();
    const sized = (radius) => new Vector3(radius, radius, radius);
    joints.forEach((name, joint) => {
      const state = known(joint);
      if (state === ABSENT) {
        return;
      }
      const colour = this.colour(person.colour(name));
      this.joints[state].add(matrix.compose(places[joint], none, sized(radii[joint])), colour);
      const deviation = person.deviation ? person.deviation[offset + joint] : 0;
      if (this.uncertainty && deviation > 0) {
        this.clouds.add(matrix.compose(places[joint], none, sized(2 * deviation)), colour);
      }
    });
    for (const [first, second] of limbs) {
      const state = Math.min(known(first), known(second));
      const along = new Vector3().subVectors(places[second], places[first]);
      const length = along.length();
      if (state !== ABSENT && length > 0) {
        const radius = (state === VISIBLE ? 0.7 : 0.5) * Math.min(radii[first], radii[second]);
        const turn = new Quaternion().setFromUnitVectors(UP, along.divideScalar(length));
        const middle = new Vector3().addVectors(places[first], places[second]).multiplyScalar(0.5);
        const colour = this.colour(person.colour(joints[first], joints[second]));
        this.limbs[state].add(matrix.compose(middle, turn, new Vector3(radius, length, radius)), colour);
      }
    }
  }

  /** The first view: from the real camera's side, a little raised, so that everybody fits in. */
  reset() {
    this.world.updateMatrixWorld();
    const all = [...this.places()].map((place) => place.applyMatrix4(this.world.matrixWorld));
    const centre = new Vector3();
    for (const along of ["x", "y", "z"]) {
      const [low, high] = bounds(all.map((place) => place[along]));
      centre[along] = (low + high) / 2;
    }
    const eye = new Vector3().setFromMatrixPosition(this.world.matrixWorld).sub(centre);
    const towards = Math.hypot(eye.x, eye.z) > 0.01 ? Math.atan2(eye.x, eye.z) : 0;
    const back = new Vector3(
      Math.sin(towards) * Math.cos(RAISED),
      Math.sin(RAISED),
      Math.cos(towards) * Math.cos(RAISED),
    );
    this.controls.target.copy(centre);
    this.camera.position.copy(centre).addScaledVector(back, this.distance(all, centre, back));
    this.controls.update();
    this.stale = true;
  }

  /** How far from the centre nearly all places fit into the view, metres. */
  distance(places, centre, back) {
    const right = new Vector3().crossVectors(UP, back).normalize();
    const up = new Vector3().crossVectors(back, right);
    const slope = FILLED * Math.tan((FIELD_OF_VIEW * Math.PI) / 360);
    const needed = places.map((place) => {
      const seen = new Vector3().subVectors(place, centre);
      const wide = (Math.abs(seen.dot(right)) + MARGIN) / (slope * this.camera.aspect);
      const high = (Math.abs(seen.dot(up)) + MARGIN) / slope;
      return seen.dot(back) + Math.max(wide, high);
    });
    return Math.min(Math.max(bounds(needed)[1], 1.5), 100);
  }

  resize() {
    const width = Math.max(1, this.pane.clientWidth);
    const height = Math.max(1, this.pane.clientHeight);
    this.renderer.setSize(width, height);
    if (this.camera) {
      this.camera.aspect = width / height;
      this.camera.updateProjectionMatrix();
    }
    this.stale = true;
  }

  /** Renders if something changed. */
  refresh() {
    if (this.stale) {
      this.stale = false;
      this.renderer.render(this.scene, this.camera);
    }
  }
}

/** The lowest and the highest of nearly all values; 0 without values. */
function bounds(values) {
  const ascending = [...values].sort((first, second) => first - second);
  const last = ascending.length - 1;
  return [ascending[Math.floor(0.01 * last)] ?? 0, ascending[Math.ceil(0.99 * last)] ?? 0];
}

function lines(ends, colour) {
  const shape = new BufferGeometry();
  shape.setAttribute("position", new Float32BufferAttribute(ends, 3));
  return new LineSegments(shape, new LineBasicMaterial({ color: colour }));
}
