/** The poses of a page: frames, joints, and people from their first to their last frame. */

import { nearest, unpack } from "occlupose/arrays";

export const ABSENT = 0;
export const OCCLUDED = 1;
export const VISIBLE = 2;

/** One person. */
class Person {
  constructor(content, joints) {
    this.id = content.id;
    this.name = content.name;
    this.colours = content.colours;
    this.start = content.start;
    this.joints = joints;
    this.state = unpack(content.state);
    this.contact = unpack(content.contact);
    this.xy = unpack(content.xy);
    this.xyz = unpack(content.xyz);
    this.spread = unpack(content.spread);
    this.deviation = unpack(content.deviation);
    this.angles = content.angles && {
      value: unpack(content.angles.value),
      sigma: unpack(content.angles.sigma),
      state: unpack(content.angles.state),
    };
    this.length = this.state.length / joints;
    this.shown = true;
  }

  /** Where the values of a frame begin in arrays with a value for each joint; -1 where the person is not. */
  offset(frame) {
    const own = frame - this.start;
    return frame >= 0 && own >= 0 && own < this.length ? own * this.joints : -1;
  }

  /** The colour of the side of the body that one of the joints is on. */
  colour(...names) {
    const side = ["left", "right"].find((each) => names.some((name) => name.startsWith(`${each}_`)));
    return this.colours[side ?? "middle"];
  }
}

/** Everything that the page shows. */
export class Poses {
  constructor(content) {
    this.title = content.title;
    this.fps = content.fps;
    this.width = content.width;
    this.height = content.height;
    this.joints = content.joints;
    this.limbs = content.limbs;
    this.bands = content.bands; // joints of the record; feet, hands and face of the fitted skeletons follow
    this.soles = content.soles; // heels and big toes, of which contacts are told
    this.radii = content.radii;
    this.panels = content.panels;
    this.camera = content.camera;
    this.video = content.video;
    this.time = unpack(content.time);
    this.people = content.people.map((person) => new Person(person, content.joints.length));
    this.begin = this.time.length ? this.time[0] : 0;
    this.end = this.time.length ? this.time[this.time.length - 1] + 1 / this.fps : 1;
    this.in3D = this.people.some((person) => person.xyz !== null);
  }

  /** The frame at a time; -1 where there is none within a frame. */
  frameAt(time) {
    const frame = nearest(this.time, time);
    return frame >= 0 && Math.abs(this.time[frame] - time) <= 1.01 / this.fps ? frame : -1;
  }

  /** The people who are switched on and in a frame, each with where its values begin. */
  *shownAt(frame) {
    for (const person of this.people) {
      const offset = person.offset(frame);
      if (person.shown && offset >= 0) {
        yield [person, offset];
      }
    }
  }
}
