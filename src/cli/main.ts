#!/usr/bin/env node
// The command manyscale.

import { Command, CommanderError } from 'commander';
import { version } from '../version.js';
import { addDoctor } from './commands/doctor.js';
import { addExtract } from './commands/extract.js';
import { addInspect } from './commands/inspect.js';
import { addPlan } from './commands/plan.js';
import { addQuantize } from './commands/quantize.js';
import { addView } from './commands/view.js';
import { CommandError, exitCodeOf, Interrupted, report } from './errors.js';

/** Aborts when the user or the system asks the process to end; at the second time it ends at once. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      const reason = new Interrupted(name);
      if (controller.signal.aborted) process.exit(reason.exitCode);
      controller.abort(reason);
    });
  }
  return controller.signal;
}

function makeProgram(signal: AbortSignal): Command {
  const program = new Command('manyscale')
    .description('Run a vision model over images at several scales.')
    .version(version, '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help of a command')
    // Errors are told by report(), in one form for all.
    .configureOutput({ outputError: () => undefined })
    .exitOverride()
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      `
Examples:
  $ manyscale view photo.jpg -o view.png
  $ manyscale extract photos/*.jpg --scales 1,2,3 -o features.safetensors
  $ manyscale inspect model.onnx

'manyscale <command> --help' has every option and more examples. If something does not work: manyscale doctor`,
    );
  addExtract(program, signal);
  addView(program, signal);
  addInspect(program, signal);
  addPlan(program, signal);
  addQuantize(program, signal);
  addDoctor(program, signal);
  return program;
}

/** commander's own refusals in our words; undefined where it only showed help or the version. */
function usageError(error: CommanderError, program: Command): CommandError | undefined {
  if (error.exitCode === 0 || error.code === 'commander.help') return undefined;
  const name = program.commands.find((command) => command.name() === process.argv[2])?.name();
  const message = error.message
    .replace(/^error: /, '')
    .replace(/\.$/, '')
    .replaceAll('\n', ' ');
  return new CommandError('ERR_USAGE', `${message}; see manyscale ${name ? `${name} ` : ''}--help`);
}

// A reader that has enough, such as head, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

const signal = interruption();
const program = makeProgram(signal);
try {
  await program.parseAsync();
} catch (thrown) {
  const error =
    thrown instanceof CommanderError ? usageError(thrown, program) : signal.aborted ? signal.reason : thrown;
  if (error !== undefined) report(error);
  process.exitCode =
    error !== undefined ? exitCodeOf(error) : thrown instanceof CommanderError && thrown.exitCode !== 0 ? 2 : 0;
}
