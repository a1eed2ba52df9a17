// node failed-tests.mjs TESTS.json...
// Prints what has failed in runs of vitest, by the reports of its reporter `json`, one test a line.
import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';

const print = (line) => void process.stdout.write(`${line}\n`);

for (const report of process.argv.slice(2)) {
  if (!existsSync(report)) {
    print(`a run that did not come to its end (no ${report})`);
    continue;
  }
  for (const { name, status, assertionResults } of JSON.parse(readFileSync(report, 'utf8')).testResults) {
    const failed = assertionResults.filter((test) => test.status === 'failed');
    const file = relative(process.cwd(), name);
    for (const { fullName } of failed) print(`${file}: ${fullName}`);
    if (status === 'failed' && failed.length === 0) print(`${file}: the file itself`);
  }
}
