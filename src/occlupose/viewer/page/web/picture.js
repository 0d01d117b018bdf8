/** The people over the video: visible joints are discs, occluded ones rings, uncertainty is a pale circle. */

import { prepare } from "occlupose/canvas";
import { ABSENT, VISIBLE } from "occlupose/people";

const INK = "#121418";

export class Picture {
  /**
   * @param {Poses} poses
   * @param {HTMLCanvasElement} canvas - over the video, of the same size.
   */
  constructor(poses, canvas) {
    this.poses = poses;
    this.canvas = canvas;
    this.skeletons = true;
    this.uncertainty = true;
  }

  draw(frame) {
    const context = prepare(this.canvas);
    if (context === null || !this.skeletons) {
      return;
    }
    const { width, height } = this.poses;
    const scale = Math.min(this.canvas.clientWidth / width, this.canvas.clientHeight / height);
    context.translate((this.canvas.clientWidth - scale * width) / 2, (this.canvas.clientHeight - scale * height) / 2);
    context.beginPath();
    context.rect(0, 0, scale * width, scale * height);
    context.clip();
    for (const [person, offset] of this.poses.shownAt(frame)) {
      this.drawPerson(context, scale, person, offset);
    }
  }

  drawPerson(context, scale, person, offset) {
    const joints = this.poses.joints.slice(0, this.poses.bands);
    const limbs = this.poses.limbs.filter((limb) => Math.max(...limb) < joints.length);
    const state = (joint) => person.state[offset + joint];
    const x = (joint) => scale * (person.xy[2 * (offset + joint)] + 0.5);
    const y = (joint) => scale * (person.xy[2 * (offset + joint) + 1] + 0.5);
    const there = joints.map((_, joint) => joint).filter((joint) => state(joint) !== ABSENT);
    if (!there.length) {
      return;
    }
    const across = (along) => Math.max(...there.map(along)) - Math.min(...there.map(along));
    const stroke = Math.min(Math.max(0.012 * Math.hypot(across(x), across(y)), 1.2), 7);
    if (this.uncertainty && person.spread) {
      context.globalAlpha = 0.25;
      for (const joint of there.filter((each) => person.spread[offset + each] > 0)) {
        context.fillStyle = person.colour(joints[joint]);
        disc(context, x(joint), y(joint), 2 * scale * person.spread[offset + joint]);
        context.fill();
      }
      context.globalAlpha = 1;
    }
    context.lineCap = "round";
    for (const [first, second] of limbs) {
      const weakest = Math.min(state(first), state(second));
      if (weakest !== ABSENT) {
        context.setLineDash(weakest === VISIBLE ? [] : [2 * stroke, 2.5 * stroke]);
        for (const [colour, width] of [[INK, stroke + 1.5], [person.colour(joints[first], joints[second]), stroke]]) {
          context.beginPath();
          context.moveTo(x(first), y(first));
          context.lineTo(x(second), y(second));
          context.strokeStyle = colour;
          context.lineWidth = width;
          context.stroke();
        }
      }
    }
    context.setLineDash([]);
    for (const joint of there) {
      const colour = person.colour(joints[joint]);
      disc(context, x(joint), y(joint), 1.2 * stroke + 0.8);
      if (state(joint) === VISIBLE) {
        context.fillStyle = colour;
        context.fill();
        context.strokeStyle = INK;
        context.lineWidth = 0.7;
      } else {
        context.strokeStyle = colour;
        context.lineWidth = Math.max(1, 0.5 * stroke);
      }
      context.stroke();
    }
  }
}

function disc(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}
