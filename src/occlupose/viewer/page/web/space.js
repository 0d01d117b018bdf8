/** The people in 3D, in metres: x right, y up, z towards the real camera, the floor at 0. Turned by mouse or finger. */

import {
  BufferGeometry,
  Color,
  CylinderGeometry,
  DirectionalLight,
  Float32BufferAttribute,
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
const NO_TURN = new Quaternion();
const FIELD_OF_VIEW = 38; // degrees
const FILLED = 0.9; // of the first view by the people
const MARGIN = 0.15; // around every joint, metres
const RAISED = 0.22; // of the first view above the horizon, radians
const GRID = { colour: 0x4a505c, margin: 1.5, most: 40 }; // metres
const FRUSTUM = 0.35; // drawn length of the real camera, metres
const SOLE = 0.025; // from a heel or big toe down to the skin, metres
const DOT = new Vector3(0.045, 0.004, 0.045); // below what touches something, metres

/** Many copies of one shape, each with a place and a colour. */
class Copies {
  constructor(scene, shape, count, look) {
    this.mesh = new InstancedMesh(shape, new MeshLambertMaterial(look), count);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = look.transparent ? 1 : 0;
    this.mesh.setColorAt(0, new Color());
    scene.add(this.mesh);
  }

  clear() {
    this.mesh.count = 0;
  }

  /** Adds one; `size` stretches it along its axes before the turn. */
  add(place, size, colour, turn = NO_TURN) {
    this.mesh.setMatrixAt(this.mesh.count, new Matrix4().compose(place, turn, size));
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

  /** Places of the roots, or else of any known joints, of everybody in some hundred frames. */
  *places() {
    const every = Math.max(1, Math.floor(this.poses.time.length / 100));
    for (const person of this.poses.people.filter((each) => each.xyz)) {
      for (let own = 0; own < person.length; own += every) {
        for (let joint = 0; joint < person.joints; joint += 1) {
          const place = placeOf(person, own * person.joints + joint);
          if (Number.isFinite(place.x + place.y + place.z)) {
            yield place;
          }
        }
      }
    }
  }

  /** The floor, with lines a metre apart. */
  addFloor() {
    const places = [...this.places()];
    const range = (along) => {
      const [least, most] = bounds(places.map((place) => place[along]));
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
    const [right, down, forward] = camera.axes;
    const corner = (x, y) =>
      camera.place.map((place, along) => {
        const across = (right[along] * (x - camera.cx)) / camera.fx + (down[along] * (y - camera.cy)) / camera.fy;
        return place + FRUSTUM * (across + forward[along]);
      });
    const corners = [corner(0, 0), corner(width, 0), corner(width, height), corner(0, height)];
    const ends = corners.flatMap((each, at) => [...camera.place, ...each, ...each, ...corners[(at + 1) % 4]]);
    this.scene.add(lines(ends, 0xc8ced6));
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
    this.joints = [null, new Copies(this.scene, ball, joints, pale), new Copies(this.scene, ball, joints, solid)];
    this.limbs = [null, new Copies(this.scene, stick, limbs, pale), new Copies(this.scene, stick, limbs, solid)];
    this.clouds = new Copies(this.scene, ball, joints, faint);
    this.touches = new Copies(this.scene, ball, count * this.poses.soles.length, solid);
    this.copies = [...this.joints.slice(1), ...this.limbs.slice(1), this.clouds, this.touches];
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
    const places = this.poses.joints.map((_, joint) => placeOf(person, offset + joint));
    const known = (joint) => (Number.isFinite(places[joint]?.x) ? person.state[offset + joint] : ABSENT);
    this.drawJoints(person, offset, places, known);
    this.drawLimbs(person, places, known);
    if (person.contact) {
      this.drawContacts(person, offset, places, known);
    }
  }

  drawJoints(person, offset, places, known) {
    const { joints, radii } = this.poses;
    const sized = (radius) => new Vector3(radius, radius, radius);
    joints.forEach((name, joint) => {
      const state = known(joint);
      if (state === ABSENT) {
        return;
      }
      const colour = this.colour(person.colour(name));
      this.joints[state].add(places[joint], sized(radii[joint]), colour);
      const deviation = person.deviation ? person.deviation[offset + joint] : 0;
      if (this.uncertainty && deviation > 0) {
        this.clouds.add(places[joint], sized(2 * deviation), colour);
      }
    });
  }

  drawLimbs(person, places, known) {
    const { joints, limbs, radii } = this.poses;
    for (const [first, second] of limbs) {
      const state = Math.min(known(first), known(second));
      const along = new Vector3().subVectors(places[second], places[first]);
      const length = along.length();
      if (state !== ABSENT && length > 0) {
        const radius = (state === VISIBLE ? 0.7 : 0.5) * Math.min(radii[first], radii[second]);
        const turn = new Quaternion().setFromUnitVectors(UP, along.divideScalar(length));
        const middle = new Vector3().addVectors(places[first], places[second]).multiplyScalar(0.5);
        const colour = this.colour(person.colour(joints[first], joints[second]));
        this.limbs[state].add(middle, new Vector3(radius, length, radius), colour, turn);
      }
    }
  }

  /** Dots below heels and toes that touch something, at the height of the lower one of the foot. */
  drawContacts(person, offset, places, known) {
    const { joints, soles } = this.poses;
    const first = (offset / joints.length) * soles.length;
    const touching = soles.filter((_, sole) => person.contact[first + sole] === VISIBLE);
    for (const name of touching.filter((each) => known(joints.indexOf(each)))) {
      const colour = person.colour(name);
      const foot = soles.filter((each) => person.colour(each) === colour).map((each) => places[joints.indexOf(each)]);
      const { x, z } = places[joints.indexOf(name)];
      const lowest = Math.min(...foot.map(({ y }) => y));
      this.touches.add(new Vector3(x, lowest - SOLE, z), DOT, this.colour(colour));
    }
  }

  /** The first view: from the real camera's side, a little raised, so that everybody fits in. */
  reset() {
    const all = [...this.places()];
    const centre = new Vector3();
    for (const along of ["x", "y", "z"]) {
      const [low, high] = bounds(all.map((place) => place[along]));
      centre[along] = (low + high) / 2;
    }
    const towards = Math.hypot(centre.x, centre.z) > 0.01 ? Math.atan2(-centre.x, -centre.z) : 0;
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

/** The place of a joint, by where its values begin. */
function placeOf(person, at) {
  return new Vector3(...person.xyz.subarray(3 * at, 3 * at + 3));
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
