/**
 * The state of each joint of one person over time, as bands: solid is visible, hatched occluded, empty absent. Below
 * them the contacts of heels and toes, solid.
 */

import { prepare, roundStep } from "occlupose/canvas";
import { ABSENT, VISIBLE } from "occlupose/people";

const ROW = 14; // height of a band, px
const AXIS = 18; // height of the axis, px
const END = 8; // room at the right, px

export class Timeline {
  /**
   * @param {Poses} poses
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} cursor - the line at the time that is shown.
   * @param {(time: number) => void} seek - called when somebody points at a time.
   */
  constructor(poses, canvas, cursor, seek) {
    this.poses = poses;
    this.canvas = canvas;
    this.cursor = cursor;
    this.person = poses.people[0] ?? null;
    this.rows = rowsOf(poses);
    canvas.style.height = `${AXIS + ROW * this.rows.length + 4}px`;
    followPointer(canvas, (x) => seek(this.timeAt(x)));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Room for the names at the left, px. */
  get left() {
    return this.canvas.clientWidth < 500 ? 92 : 124;
  }

  get scale() {
    return (this.canvas.clientWidth - this.left - END) / (this.poses.end - this.poses.begin);
  }

  timeAt(x) {
    return this.poses.begin + (x - this.left) / this.scale;
  }

  xAt(time) {
    return this.left + (time - this.poses.begin) * this.scale;
  }

  select(person) {
    this.person = person;
    this.draw();
  }

  moveTo(time) {
    this.cursor.style.transform = `translateX(${this.xAt(time)}px)`;
  }

  draw() {
    const context = prepare(this.canvas);
    if (context === null) {
      return;
    }
    this.drawAxis(context);
    this.rows.forEach((row, number) => this.drawRow(context, row, AXIS + ROW * number));
  }

  drawAxis(context) {
    const { begin, end } = this.poses;
    const step = roundStep(end - begin, (this.canvas.clientWidth - this.left) / 70);
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = "#9aa3b2";
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let mark = Math.ceil(begin / step); mark * step <= end; mark += 1) {
      const time = mark * step;
      const x = Math.min(this.xAt(time), this.canvas.clientWidth - 16);
      context.fillText(`${Number(time.toFixed(3))} s`, x, AXIS / 2);
    }
  }

  drawRow(context, row, top) {
    context.textAlign = "right";
    context.fillStyle = "#c3c9d4";
    context.fillText(row.label, this.left - 8, top + ROW / 2, this.left - 10);
    context.fillStyle = "#262a32";
    context.fillRect(this.left, top + 2, this.canvas.clientWidth - this.left - END, ROW - 4);
    if (this.person === null) {
      return;
    }
    const colour = this.person.colour(row.name);
    for (const [state, from, to] of this.runs(row)) {
      const x = this.xAt(this.poses.time[from]);
      const width = Math.max(1, this.xAt(this.poses.time[to] + 1 / this.poses.fps) - x);
      context.fillStyle = state === VISIBLE ? colour : this.hatch(context, colour);
      context.fillRect(x, top + 2, width, ROW - 4);
    }
  }

  /** State, first and last frame of each stretch of time in which a row is not empty. */
  *runs({ field, count, column }) {
    const { person } = this;
    const states = person[field];
    let from = 0;
    for (let own = 1; own <= person.length; own += 1) {
      const state = states[from * count + column];
      if (own === person.length || states[own * count + column] !== state) {
        if (state !== ABSENT) {
          yield [state, person.start + from, person.start + own - 1];
        }
        from = own;
      }
    }
  }

  hatch(context, colour) {
    const tile = document.createElement("canvas");
    tile.width = 6;
    tile.height = 6;
    const pen = tile.getContext("2d");
    pen.strokeStyle = colour;
    pen.lineWidth = 1.6;
    pen.beginPath();
    for (const shift of [-6, 0, 6]) {
      pen.moveTo(shift - 1, 7);
      pen.lineTo(shift + 7, -1);
    }
    pen.stroke();
    return context.createPattern(tile, "repeat");
  }
}

/** A row for each joint, and for the contacts of heels and toes where they are known: where its states are. */
function rowsOf(poses) {
  const rows = (names, field, count, what) =>
    names.map((name, column) => ({ name, field, count, column, label: `${name.replaceAll("_", " ")}${what}` }));
  const joints = rows(poses.joints.slice(0, poses.bands), "state", poses.joints.length, "");
  const known = poses.people.some((person) => person.contact);
  return known ? [...joints, ...rows(poses.soles, "contact", poses.soles.length, " contact")] : joints;
}

/** Calls back with the place along an element that somebody presses or drags to, px. */
export function followPointer(element, callback) {
  const report = (event) => callback(event.clientX - element.getBoundingClientRect().left);
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    report(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (element.hasPointerCapture(event.pointerId)) {
      report(event);
    }
  });
}
