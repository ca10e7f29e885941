// A virtual clock for thousands of simulated processes. `manualClock` of remint/testing waits ten turns of the event
// loop after every timer, for promise chains that include macrotasks. The simulation has no macrotasks and half a million
// timers.

/** 2026-01-01T00:00:00Z: a fixed moment, so that runs can be repeated. */
const EPOCH = 1_767_225_600_000;

/** A `Clock` that moves from timer to timer. */
export class VirtualClock {
  #time = 0;
  #set = 0;
  /** A binary heap: the timer that is due first is at index 0. */
  #heap = [];

  now() {
    return EPOCH + Math.floor(this.#time);
  }

  monotonic() {
    return this.#time;
  }

  setTimeout(fire, delay) {
    const timer = { due: this.#time + Math.max(0, delay), order: this.#set++, fire };
    this.#push(timer);
    // A cancelled timer stays in the heap until it is due, which saves a search.
    return { cancel: () => void (timer.fire = undefined), hold: () => {} };
  }

  /** Lets time pass until `done()`. @throws When no timer is left, or when `patience` milliseconds have passed. */
  async run(done, patience = 600_000) {
    const until = this.#time + patience;
    await oneTurn();
    while (!done()) {
      const timer = this.#heap.length > 0 ? this.#pop() : undefined;
      if (timer === undefined) throw new Error("the simulation stands still: no timer is left");
      if (timer.fire === undefined) continue;
      if (timer.due > until) throw new Error(`the simulation was not done after ${patience} ms of its time`);
      this.#time = timer.due;
      timer.fire();
      await oneTurn();
    }
  }

  /** Lets time pass until a given moment. */
  async runTo(time) {
    let isThere = false;
    this.setTimeout(() => (isThere = true), time - this.#time);
    await this.run(() => isThere, Infinity);
  }

  #push(timer) {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timer, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = timer;
  }

  #pop() {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (heap.length === 0) return first;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (!isBefore(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a, b) {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}

/** One turn of the event loop, which runs promise chains of any depth to their end. */
function oneTurn() {
  return new Promise((resolve) => setImmediate(resolve));
}
