// How much else went on during a measurement: figures from a busy machine are told apart from those of a quiet one.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** Seconds of all processors since the system's start: busy, stolen by the host, and all. */
function system() {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0];
  const [user, nice, kernel, idle, wait, irq, softirq, stolen] = line.trim().split(/\s+/).slice(1).map(Number);
  const busy = user + nice + kernel + irq + softirq;
  const seconds = (ticks) => ticks / ticksPerSecond;
  return { busy: seconds(busy), stolen: seconds(stolen), all: seconds(busy + idle + wait + stolen) };
}

/** Seconds of processor time of this process and of its children that have ended. */
function own() {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / ticksPerSecond; // utime to cstime
}

/**
 * Starts watching. The function that it gives returns the shares of the processors' time since then that other processes and
 * the host of a virtual machine took, from 0 to 1.
 */
export function watchDisturbance() {
  const before = { system: system(), own: own() };
  return () => {
    const now = system();
    const all = now.all - before.system.all;
    const others = now.busy - before.system.busy - (own() - before.own);
    const share = (seconds) => Math.round(Math.max(0, seconds / all) * 1000) / 1000;
    return { others: share(others), stolen: share(now.stolen - before.system.stolen) };
  };
}
