/** Puts the page together: reads its content, makes its parts, and keeps them at one time. */

import { decodeBase64 } from "occlupose/arrays";
import { Clock, formatTime } from "occlupose/clock";
import { Curves } from "occlupose/curves";
import { Poses } from "occlupose/people";
import { Picture } from "occlupose/picture";
import { Space } from "occlupose/space";
import { Timeline } from "occlupose/timeline";

const find = (id) => document.getElementById(id);
const poses = new Poses(JSON.parse(find("content").textContent));
const state = { frame: -2, time: NaN, stale: true };

document.title = poses.title;
find("title").textContent = poses.title;
find("note").textContent = poses.video.note;

const video = showPicture();
const clock = new Clock(poses, video);
const seek = (time) => clock.seek(poses.time[Math.max(0, poses.frameAt(clamp(time)))] ?? poses.begin);
const picture = new Picture(poses, find("overlay"));
const space = showSpace();
const timeline = new Timeline(poses, find("bands"), find("bands-cursor"), seek);
const curves = poses.panels.length ? new Curves(poses, find("curves"), seek) : null;
find("angles").hidden = curves === null;
listPeople();
wire();
requestAnimationFrame(refresh);
document.body.dataset.ready = "true";

function clamp(time) {
  return Math.min(Math.max(time, poses.begin), poses.end - 1 / poses.fps);
}

/** The video or image of the page in its pane; returns the video. */
function showPicture() {
  const { kind, source } = poses.video;
  const pane = find("picture");
  const inside = find("media").textContent;
  document.body.classList.toggle("tall", poses.height > poses.width);
  pane.style.setProperty("--aspect", `${poses.width} / ${poses.height}`);
  if (kind === "none") {
    pane.hidden = poses.in3D;
    return null;
  }
  const address = inside
    ? URL.createObjectURL(new Blob([decodeBase64(inside)], { type: poses.video.type }))
    : encodeURIComponent(source);
  const element = document.createElement(kind === "image" ? "img" : "video");
  element.src = address;
  if (kind === "image") {
    element.alt = poses.title;
    pane.prepend(element);
    return null;
  }
  element.playsInline = true;
  element.preload = "auto";
  element.addEventListener("error", () => {
    find("note").textContent = inside
      ? "This browser cannot play the video."
      : `The video ${source} cannot be played; it must lie beside this page.`;
    find("note").classList.add("warning");
  });
  pane.prepend(element);
  return element;
}

/** The view in 3D; null in 2D or without WebGL. */
function showSpace() {
  const pane = find("space");
  pane.hidden = !poses.in3D;
  find("reset").hidden = !poses.in3D;
  if (!poses.in3D) {
    return null;
  }
  try {
    return new Space(poses, pane);
  } catch (error) {
    const note = document.createElement("p");
    note.textContent = "This browser cannot draw in 3D: WebGL is off or missing.";
    pane.append(note);
    find("reset").hidden = true;
    return null;
  }
}

/** A switch for each person, and a button that chooses whose timeline is shown. */
function listPeople() {
  const list = find("people");
  const choose = (person) => {
    for (const item of list.children) {
      item.classList.toggle("chosen", item.dataset.person === String(person.id));
    }
    find("whose").textContent = person.name;
    timeline.select(person);
    curves?.select(person);
    state.stale = true;
  };
  for (const person of poses.people) {
    const item = document.createElement("li");
    item.dataset.person = person.id;
    item.style.setProperty("--colour", person.colours.middle);
    const shown = document.createElement("input");
    shown.type = "checkbox";
    shown.checked = true;
    shown.title = `show ${person.name}`;
    shown.setAttribute("aria-label", shown.title);
    shown.addEventListener("change", () => {
      person.shown = shown.checked;
      state.stale = true;
    });
    const name = document.createElement("button");
    name.textContent = person.name;
    name.title = `timeline and angles of ${person.name}`;
    name.addEventListener("click", () => choose(person));
    item.append(shown, name);
    list.append(item);
  }
  if (poses.people.length) {
    choose(poses.people[0]);
  } else {
    find("whose").textContent = "nobody";
  }
}

function wire() {
  const slider = find("slider");
  slider.max = Math.max(1, poses.time.length - 1);
  slider.addEventListener("input", () => seek(poses.time[slider.value] ?? poses.begin));
  find("play").addEventListener("click", () => clock.toggle());
  find("back").addEventListener("click", () => step(-1));
  find("on").addEventListener("click", () => step(1));
  find("speed").addEventListener("change", (event) => clock.setRate(Number(event.target.value)));
  find("reset").addEventListener("click", () => space?.reset());
  const still = poses.time.length < 2;
  for (const id of ["play", "back", "on", "slider", "speed"]) {
    find(id).disabled = still;
  }
  const uncertain = poses.people.some((person) => person.spread || person.deviation);
  find("uncertainty").parentElement.hidden = !uncertain;
  find("skeletons").addEventListener("change", (event) => {
    picture.skeletons = event.target.checked;
    state.stale = true;
  });
  find("uncertainty").addEventListener("change", (event) => {
    picture.uncertainty = event.target.checked;
    if (space) {
      space.uncertainty = event.target.checked;
    }
    state.stale = true;
  });
  const full = find("full");
  full.hidden = !document.fullscreenEnabled;
  full.addEventListener("click", fullScreen);
  document.addEventListener("keydown", press);
  new ResizeObserver(() => {
    state.stale = true;
  }).observe(find("stage"));
  window.addEventListener("resize", () => {
    state.stale = true;
  });
}

function step(frames) {
  clock.pause();
  const frame = Math.max(0, poses.frameAt(clamp(clock.time)));
  seek(poses.time[Math.min(Math.max(frame + frames, 0), poses.time.length - 1)]);
}

function fullScreen() {
  if (document.fullscreenElement) {
    document.exitFullscreen();
  } else {
    find("viewer").requestFullscreen();
  }
}

function press(event) {
  const actions = {
    " ": () => clock.toggle(),
    ArrowLeft: () => step(event.shiftKey ? -Math.round(poses.fps) : -1),
    ArrowRight: () => step(event.shiftKey ? Math.round(poses.fps) : 1),
    Home: () => seek(poses.begin),
    End: () => seek(poses.end),
    f: fullScreen,
  };
  const typing = ["INPUT", "SELECT", "BUTTON"].includes(event.target.tagName) && event.key !== "f";
  if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey && actions[event.key]) {
    event.preventDefault();
    actions[event.key]();
  }
}

/** Draws what changed; at every refresh of the screen. */
function refresh(now) {
  clock.tick(now);
  document.body.classList.toggle("playing", clock.playing);
  const frame = poses.frameAt(clamp(clock.time));
  if (state.stale || frame !== state.frame) {
    picture.draw(frame);
    space?.draw(frame);
  }
  if (state.stale || clock.time !== state.time) {
    timeline.moveTo(clock.time);
    curves?.moveTo(clock.time, frame);
    find("time").textContent = `${formatTime(clock.time)} / ${formatTime(poses.end)}`;
    find("slider").value = Math.max(0, frame);
  }
  state.frame = frame;
  state.time = clock.time;
  state.stale = false;
  document.body.dataset.frame = frame;
  space?.controls.update();
  space?.refresh();
  requestAnimationFrame(refresh);
}
