/** The time that is shown: of the video if there is one, else of a clock of our own. */

export class Clock {
  /**
   * @param {Poses} poses - its first and last time bound the clock.
   * @param {HTMLVideoElement | null} video - it shows `poses.video.start` at its beginning.
   */
  constructor(poses, video) {
    this.begin = poses.begin;
    this.video = video;
    this.offset = poses.video.start;
    this.last = Math.max(poses.begin, poses.end - 1 / poses.fps);
    this.half = 0.5 / poses.video.fps; // of a frame of the video
    this.time = poses.begin;
    this.rate = 1;
    this.running = false;
    this.before = 0;
    if (video) {
      this.follow();
    }
  }

  get playing() {
    return this.video ? !this.video.paused && !this.video.ended : this.running;
  }

  /** Plays on; from the beginning at the end. */
  play() {
    if (this.time >= this.last - this.half) {
      this.seek(this.begin);
    }
    if (this.video) {
      this.video.play().catch(() => {});
    }
    this.running = true;
    this.before = performance.now();
  }

  pause() {
    this.running = false;
    this.video?.pause();
  }

  toggle() {
    if (this.playing) {
      this.pause();
    } else {
      this.play();
    }
  }

  /** Goes to a time; the video goes to the middle of its frame. */
  seek(time) {
    this.time = Math.min(Math.max(time, this.begin), this.last);
    if (this.video) {
      this.video.currentTime = Math.max(0, this.time - this.offset + this.half);
    }
  }

  setRate(rate) {
    this.rate = rate;
    if (this.video) {
      this.video.playbackRate = rate;
    }
  }

  /** Moves on; to be called at every refresh of the screen. */
  tick(now) {
    if (!this.playing) {
      return;
    }
    if (this.video) {
      if (!this.exact && !this.video.seeking) {
        this.time = this.video.currentTime + this.offset;
      }
      return;
    }
    this.time += ((now - this.before) / 1000) * this.rate;
    this.before = now;
    if (this.time >= this.last) {
      this.time = this.last;
      this.running = false;
    }
  }

  /** Takes the time of each frame that the browser shows, where it says it. */
  follow() {
    this.exact = "requestVideoFrameCallback" in this.video;
    if (!this.exact) {
      return;
    }
    const note = (_, shown) => {
      if (this.playing && !this.video.seeking) {
        this.time = shown.mediaTime + this.offset;
      }
      this.video.requestVideoFrameCallback(note);
    };
    this.video.requestVideoFrameCallback(note);
  }
}

/** A time as minutes, seconds and hundredths. */
export function formatTime(time) {
  const hundredths = Math.round(Math.max(time, 0) * 100);
  const minutes = Math.floor(hundredths / 6000);
  const two = (number) => String(number).padStart(2, "0");
  const rest = hundredths % 6000;
  return `${two(minutes)}:${two(Math.floor(rest / 100))}.${two(rest % 100)}`;
}
