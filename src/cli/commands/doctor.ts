// manyscale doctor: what is installed and works, what does not, and what to do about it.

import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { defaultModel } from '../../model/default-model.js';
import { readBuildInfo, readDriver, readKernels, readRuntimeInfo } from '../../native/calls.js';
import { addonReport } from '../../native/load.js';
import { findRuntime } from '../../runtime.js';
import { version } from '../../version.js';
import { EXIT } from '../errors.js';
import { facts } from '../table.js';

/** One thing that was looked at. */
interface Check {
  /** problem: something essential is missing or broken. note: works, but worth knowing. skipped: needs what has a problem. */
  level: 'ok' | 'note' | 'problem' | 'skipped';
  summary: string;
  remedy?: string;
  /** For people and programs; goes into the JSON as it is. */
  details: Record<string, unknown>;
}

type Checks = Record<string, Check>;

interface Step {
  name: string;
  /** Steps that must have succeeded. */
  needs?: readonly string[];
  run: () => Check | Promise<Check>;
}

interface DoctorFlags {
  json?: boolean;
  runtimeLibrary?: string;
}

export function addDoctor(program: Command, signal: AbortSignal): void {
  program
    .command('doctor')
    .summary('check the installation and say what to do where something is missing')
    .description(
      'Shows which binaries, instruction sets, runtime and providers are in use and why others are not, and ends with a trial ' +
        'extraction. The exit code is 1 when something essential does not work. Paste this into bug reports.',
    )
    .option('--json', 'as JSON')
    .option(
      '--runtime-library <path>',
      "a libonnxruntime (default: MANYSCALE_RUNTIME_LIBRARY, else onnxruntime-node's)",
    )
    .addHelpText(
      'after',
      `
Examples:
  $ manyscale doctor
  $ manyscale doctor --json | jq .checks.runtime.details.providers

  Would another ONNX Runtime work, such as a GPU build?
    $ manyscale doctor --runtime-library /opt/onnxruntime/lib/libonnxruntime.so`,
    )
    .action((flags: DoctorFlags) => doctor(flags, signal));
}

async function doctor(flags: DoctorFlags, signal: AbortSignal): Promise<void> {
  const library = flags.runtimeLibrary === undefined ? undefined : resolve(flags.runtimeLibrary);
  const steps: readonly Step[] = [
    { name: 'manyscale', run: checkPackage },
    { name: 'system', run: checkSystem },
    { name: 'addon', run: checkAddon },
    { name: 'instruction sets', needs: ['addon'], run: checkKernels },
    { name: 'runtime', needs: ['addon'], run: () => checkRuntime(library) },
    { name: 'gpu', needs: ['addon'], run: checkGpu },
    { name: 'images', run: checkSharp },
    { name: 'model', run: checkModel },
    { name: 'trial', needs: ['addon', 'runtime', 'model'], run: () => checkTrial(library, signal) },
  ];
  const checks: Checks = {};
  for (const { name, needs = [], run } of steps) {
    signal.throwIfAborted();
    const missing = needs.filter((need) => checks[need]?.level !== 'ok' && checks[need]?.level !== 'note');
    try {
      checks[name] =
        missing.length > 0 ? { level: 'skipped', summary: `needs: ${missing.join(', ')}`, details: {} } : await run();
    } catch (error) {
      signal.throwIfAborted();
      checks[name] = failure(error);
    }
  }
  const ok = Object.values(checks).every(({ level }) => level !== 'problem');
  process.stdout.write(flags.json ? `${JSON.stringify({ ok, checks }, undefined, 2)}\n` : describe(checks, ok));
  if (!ok) process.exitCode = EXIT.failure;
}

/** The library's messages say what to do after their first sentence, so they serve as they are. */
function failure(error: unknown, remedy?: string): Check {
  const code = (error as { code?: string } | null)?.code;
  const message = error instanceof Error ? error.message : String(error);
  return { level: 'problem', summary: `${message}${code ? ` [${code}]` : ''}`, ...(remedy && { remedy }), details: {} };
}

function checkPackage(): Check {
  const set = Object.entries(process.env).filter(([name]) => name.startsWith('MANYSCALE_'));
  return { level: 'ok', summary: version, details: { version, environment: Object.fromEntries(set) } };
}

function checkSystem(): Check {
  const { libc } = addonReport();
  const { engines } = createRequire(import.meta.url)('../../../package.json') as { engines: { node: string } };
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [needMajor = 0, needMinor = 0] = engines.node
    .replace(/[^\d.]/g, '')
    .split('.')
    .map(Number);
  const recent = major > needMajor || (major === needMajor && minor >= needMinor);
  const details = {
    node: process.versions.node,
    platform: process.platform,
    architecture: process.arch,
    libc: [libc.family, libc.version].filter(Boolean).join(' '),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
  };
  const summary = `Node.js ${details.node}, ${details.platform}-${details.architecture}, ${details.libc}`;
  if (recent) return { level: 'ok', summary, details };
  return { level: 'problem', summary, remedy: `install Node.js ${engines.node}`, details };
}

function checkAddon(): Check {
  const { loaded, tried } = addonReport();
  const build = readBuildInfo();
  const others = tried.filter(({ path }) => path !== loaded);
  return { level: 'ok', summary: loaded ?? '', details: { ...build, tried: others } };
}

function checkKernels(): Check {
  const forced = process.env['MANYSCALE_FORCE_ISA'];
  const { isas } = readBuildInfo();
  try {
    const inUse = readKernels();
    const best = isas.at(-1);
    const slower = forced !== undefined && Object.values(inUse).some((isa) => isa !== best);
    return {
      level: slower ? 'note' : 'ok',
      summary: `split ${inUse.split}, pool ${inUse.pool}${forced ? ` (forced by MANYSCALE_FORCE_ISA=${forced})` : ''}`,
      ...(slower && { remedy: `unset MANYSCALE_FORCE_ISA for the fastest, ${best}` }),
      details: { available: isas, inUse, ...(forced !== undefined && { forced }) },
    };
  } catch (error) {
    return {
      ...failure(error, `unset MANYSCALE_FORCE_ISA, or set it to one of: ${isas.join(', ')}`),
      details: { available: isas, forced },
    };
  }
}

async function checkRuntime(option: string | undefined): Promise<Check> {
  const { path, from } = findRuntime(option);
  const { version: found, providers, unavailable, notice } = await readRuntimeInfo(path, true);
  const details = { path, from, version: found, providers, unavailable, notice };
  return {
    level: notice ? 'note' : 'ok',
    summary: `ONNX Runtime ${found}`,
    ...(notice && { remedy: notice }),
    details,
  };
}

/** No GPU is no problem; one that is there and cannot be used is worth knowing. */
async function checkGpu(): Promise<Check> {
  const { version: driver, path, reason, devices } = await readDriver();
  const details = {
    ...(driver > 0 && { driver: `CUDA ${Math.floor(driver / 1000)}.${Math.floor((driver % 1000) / 10)}`, path }),
    devices: devices.map(
      ({ ordinal, name, computeCapability, memory, integrated }) =>
        `${ordinal}: ${name}, compute capability ${computeCapability}, ${(memory / 1e9).toFixed(1)} GB${integrated ? ' of the host' : ''}`,
    ),
  };
  if (reason === '') return { level: 'ok', summary: devices.map(({ name }) => name).join(', '), details };
  const remedy = 'see docs/gpu.md';
  return { level: driver > 0 ? 'note' : 'ok', summary: `none: ${reason}`, ...(driver > 0 && { remedy }), details };
}

async function checkSharp(): Promise<Check> {
  try {
    const { default: sharp } = await import('sharp');
    return {
      level: 'ok',
      summary: `sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}`,
      details: {},
    };
  } catch (error) {
    const platform = `--os=${process.platform} --cpu=${process.arch}`;
    const message = (error instanceof Error ? error.message : String(error)).trim().split('\n', 1)[0];
    return {
      level: 'problem',
      summary: `sharp does not load: ${message}`,
      remedy: `npm install --include=optional ${platform} sharp`,
      details: {},
    };
  }
}

function checkModel(): Check {
  if (!existsSync(defaultModel)) {
    return { level: 'problem', summary: `${defaultModel} is missing`, remedy: 'install manyscale anew', details: {} };
  }
  return { level: 'ok', summary: defaultModel, details: { path: defaultModel, bytes: statSync(defaultModel).size } };
}

/** The whole way, with the default model and a made-up image. */
async function checkTrial(runtimeLibrary: string | undefined, signal: AbortSignal): Promise<Check> {
  const { Extractor } = await import('../../index.js');
  await using extractor = await Extractor.load(defaultModel, {
    ...(runtimeLibrary !== undefined && { runtimeLibrary }),
    signal,
  });
  const [height, width] = [300, 400];
  const data = Uint8Array.from({ length: height * width * 3 }, (_, index) => index % 251);
  const { tensor, timings } = await extractor.extract({ data, height, width, channels: 3 }, { signal });
  const values = tensor.data as Float32Array;
  const finite = values.every(Number.isFinite);
  const { batching, device, provider, unavailable } = extractor.info;
  const { maxBatch, workers } = batching;
  const details = {
    device,
    provider,
    notUsed: unavailable,
    shape: tensor.dims,
    milliseconds: Math.round(timings.total),
    batches: `up to ${maxBatch} tiles, ${workers} at once`,
    memory: `${(extractor.stats().bytes.limit / 1e9).toFixed(1)} GB for images in flight`,
  };
  if (!finite) return { level: 'problem', summary: 'the features of a made-up image are not finite numbers', details };
  const where = device === 'cpu' ? 'the CPU' : `a GPU (provider ${provider})`;
  const summary = `features of ${tensor.dims.join(' x ')} in ${Math.round(timings.total)} ms, on ${where}`;
  return { level: 'ok', summary, details };
}

function describe(checks: Checks, ok: boolean): string {
  const marks = { ok: 'ok     ', note: 'note   ', problem: 'PROBLEM', skipped: 'skipped' };
  const text = Object.entries(checks).map(([name, { level, summary, remedy, details }]) => {
    const rows = Object.entries(details)
      .map(([key, value]): [string, string] => [LABELS[key] ?? key, show(value)])
      .filter(([, value]) => value !== '' && value !== summary);
    if (remedy) rows.push(['what to do', remedy]);
    return `${marks[level]}  ${name}: ${summary.replaceAll('\n', `\n${' '.repeat(11)}`)}\n${rows.length > 0 ? facts(rows, 11) : ''}`;
  });
  const problems = Object.values(checks).filter(({ level }) => level === 'problem').length;
  return `${text.join('')}\n${ok ? 'All that is essential works.' : `${problems} problem${problems === 1 ? '' : 's'} found.`}\n`;
}

/** What the names of details mean to a person; the others speak for themselves. */
const LABELS: Readonly<Record<string, string>> = {
  isas: 'instruction sets',
  inUse: 'in use',
  from: 'named by',
  providers: 'compiled in',
  unavailable: 'do not work',
  notUsed: 'not used',
  tried: 'also tried',
};

/** Lists and small objects as text of one line per entry. */
function show(value: unknown): string {
  if (value === undefined || value === null || value === '') return '';
  if (Array.isArray(value)) {
    return value.every((entry) => typeof entry !== 'object')
      ? value.join(', ')
      : value.map((entry) => show(entry)).join('\n');
  }
  if (typeof value !== 'object') return String(value);
  if ('path' in value && 'error' in value) return `${String(value.path)}: ${String(value.error)}`;
  return Object.entries(value)
    .map(([key, entry]) => `${key}: ${String(entry)}`)
    .join('\n');
}
