/* What the canvas components share: how they speak to Python. It is put in front of each component's own script. */

const ACK_TIMEOUT = 500; // ms; a lost message must not stop what is going on

/** One message in flight: the newest waits until Python has acknowledged the last one, or the time is out. */
class Wire {
  seq = 0;
  acked = 0;
  waiting = null;
  timer = 0;
  send = () => {};

  get idle() {
    return this.acked >= this.seq && !this.waiting;
  }

  post(message) {
    this.waiting = message;
    if (!this.timer) this.flush();
  }

  flush() {
    clearTimeout(this.timer);
    this.timer = 0;
    if (!this.waiting) return;
    this.send({ ...this.waiting, seq: ++this.seq });
    this.waiting = null;
    this.timer = setTimeout(() => this.flush(), ACK_TIMEOUT);
  }

  acknowledge(ack) {
    // Ahead of us: mounted again in a session that has already counted. Backwards: a new session behind the same page.
    if (ack > this.seq || ack < this.acked) this.seq = ack;
    this.acked = ack;
    if (this.acked >= this.seq) this.flush();
  }
}
