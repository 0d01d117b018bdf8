/** Joint angles of one person over time: a panel for each, left and right in one. */

import { prepare, roundStep } from "occlupose/canvas";
import { VISIBLE } from "occlupose/people";
import { followPointer } from "occlupose/timeline";

const COLOURS = { left: "#4aa8e0", right: "#f0803c", middle: "#b7bfcc" };
const LEFT = 34; // room for the numbers, px
const EDGE = 6; // room elsewhere, px
const WIDE = 25; // beyond this a band is cut off, degrees

/** One panel. */
class Panel {
  constructor(poses, panel, grid, seek) {
    this.poses = poses;
    this.curves = panel.curves;
    this.element = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const title = document.createElement("span");
    title.textContent = panel.title;
    this.reading = document.createElement("span");
    this.reading.className = "reading";
    caption.append(title, this.reading);
    const box = document.createElement("div");
    box.className = "plot";
    this.canvas = document.createElement("canvas");
    this.cursor = document.createElement("div");
    this.cursor.className = "cursor";
    box.append(this.canvas, this.cursor);
    this.element.append(caption, box);
    grid.append(this.element);
    followPointer(this.canvas, (x) => seek(poses.begin + (x - LEFT) / this.scale));
  }

  get scale() {
    return (this.canvas.clientWidth - LEFT - EDGE) / (this.poses.end - this.poses.begin);
  }

  x(time) {
    return LEFT + (time - this.poses.begin) * this.scale;
  }

  /** Shows the values at a frame of the person, an own frame of theirs or -1. */
  moveTo(time, own) {
    this.cursor.style.transform = `translateX(${this.x(time)}px)`;
    const texts = this.curves.map(({ side, index }) => {
      const value = own < 0 || !this.angles ? NaN : this.angles.value[own * this.count + index];
      const text = document.createElement("b");
      text.style.color = COLOURS[side];
      text.textContent = Number.isFinite(value) ? `${Math.round(value)}°` : "–";
      return text;
    });
    this.reading.replaceChildren(...texts);
  }

  draw(person) {
    this.angles = person?.angles ?? null;
    this.count = this.angles ? this.angles.value.length / person.length : 0;
    const context = prepare(this.canvas);
    if (context === null || !this.angles) {
      return;
    }
    const [low, high] = this.range();
    if (low > high) {
      return;
    }
    const middle = (low + high) / 2;
    const half = Math.max(10, 0.53 * (high - low));
    const floor = this.canvas.clientHeight - EDGE;
    const y = (value) => EDGE + ((middle + half - value) / (2 * half)) * (floor - EDGE);
    this.drawAxis(context, middle - half, middle + half, y);
    context.beginPath();
    context.rect(LEFT, 0, this.canvas.clientWidth - LEFT - EDGE + 1, this.canvas.clientHeight);
    context.clip();
    for (const { side, index } of this.curves) {
      this.drawCurve(context, person, index, COLOURS[side], y);
    }
  }

  /** The lowest and the highest value, with the bands of uncertainty as far as they are not wide, degrees. */
  range() {
    let low = Infinity;
    let high = -Infinity;
    for (const { index } of this.curves) {
      const sigma = this.column(this.angles.sigma, index);
      this.column(this.angles.value, index).forEach((value, own) => {
        if (Number.isFinite(value)) {
          const band = Math.min(2 * (sigma[own] || 0), WIDE);
          low = Math.min(low, value - band);
          high = Math.max(high, value + band);
        }
      });
    }
    return [low, high];
  }

  /** Frames from one to another, no more than are seen. */
  sample(from, to) {
    const every = Math.max(1, Math.floor((to - from) / (3 * this.canvas.clientWidth)));
    const owns = Array.from({ length: Math.floor((to - from) / every) + 1 }, (_, number) => from + number * every);
    return owns[owns.length - 1] === to ? owns : [...owns, to];
  }

  column(values, index) {
    return Array.from({ length: values.length / this.count }, (_, own) => values[own * this.count + index]);
  }

  drawAxis(context, low, high, y) {
    const step = roundStep(high - low, 4);
    context.font = "10px system-ui, sans-serif";
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.strokeStyle = "#333842";
    context.lineWidth = 1;
    for (let mark = Math.ceil(low / step); mark * step <= high; mark += 1) {
      context.fillStyle = "#9aa3b2";
      context.fillText(`${mark * step}°`, LEFT - 5, y(mark * step));
      context.beginPath();
      context.moveTo(LEFT, y(mark * step));
      context.lineTo(this.canvas.clientWidth - EDGE, y(mark * step));
      context.stroke();
    }
  }

  /** The curve, a band of two standard deviations to either side, and a shade where a joint is hidden. */
  drawCurve(context, person, index, colour, y) {
    const value = this.column(this.angles.value, index);
    const sigma = this.column(this.angles.sigma, index);
    const state = this.column(this.angles.state, index);
    const x = (own) => this.x(this.poses.time[person.start + own]);
    context.fillStyle = colour;
    for (const [from, to] of stretches(value.map((each, own) => Number.isFinite(each) && state[own] < VISIBLE))) {
      context.globalAlpha = 0.13;
      const width = Math.max(1, x(to) - x(from) + this.scale / this.poses.fps);
      context.fillRect(x(from), 0, width, this.canvas.clientHeight);
    }
    for (const [from, to] of stretches(value.map(Number.isFinite))) {
      const owns = this.sample(from, to);
      context.globalAlpha = 0.2;
      context.beginPath();
      owns.forEach((own) => context.lineTo(x(own), y(value[own] + 2 * (sigma[own] || 0))));
      owns.reverse().forEach((own) => context.lineTo(x(own), y(value[own] - 2 * (sigma[own] || 0))));
      context.fill();
      context.globalAlpha = 1;
      context.beginPath();
      owns.forEach((own) => context.lineTo(x(own), y(value[own])));
      context.strokeStyle = colour;
      context.lineWidth = 1.5;
      context.stroke();
    }
  }
}

/** First and last number of each stretch of true values. */
function* stretches(flags) {
  let from = -1;
  for (let at = 0; at <= flags.length; at += 1) {
    if (flags[at] && from < 0) {
      from = at;
    } else if (!flags[at] && from >= 0) {
      yield [from, at - 1];
      from = -1;
    }
  }
}

export class Curves {
  /**
   * @param {Poses} poses
   * @param {HTMLElement} grid - takes the panels.
   * @param {(time: number) => void} seek - called when somebody points at a time.
   */
  constructor(poses, grid, seek) {
    this.poses = poses;
    this.person = poses.people[0] ?? null;
    this.panels = poses.panels.map((panel) => new Panel(poses, panel, grid, seek));
    new ResizeObserver(() => this.draw()).observe(grid);
  }

  select(person) {
    this.person = person;
    this.draw();
  }

  draw() {
    this.panels.forEach((panel) => panel.draw(this.person));
  }

  moveTo(time, frame) {
    const offset = this.person ? this.person.offset(frame) : -1;
    const own = offset < 0 ? -1 : offset / this.person.joints;
    this.panels.forEach((panel) => panel.moveTo(time, own));
  }
}
