// node matrix-table.mjs VERSION=TESTS.json...
// Prints, from what really ran, what became of each hazard on each version: virsh's outcome, then kvmsnap's.
import { readFileSync } from 'node:fs';

/** The numbers of the hazards that a test's title names: `... (hazards 18, 29)`. */
function hazardsOf(title) {
  const [, numbers = ''] = /\(hazards? ([\d, and]+)\)/.exec(title) ?? [];
  return (numbers.match(/\d+/g) ?? []).map(Number);
}

/** What a test says of itself (hazard.ts), or else that it held. */
function outcome({ status, meta }) {
  if (status !== 'passed') return '**FAILED**';
  return meta.virsh ? `${meta.virsh}; ${meta.kvmsnap}` : 'held';
}

const columns = process.argv.slice(2).map((argument) => {
  const [version, file] = argument.split('=');
  const { testResults } = JSON.parse(readFileSync(file, 'utf8'));
  return { version, tests: testResults.flatMap(({ assertionResults }) => assertionResults) };
});

const rows = new Map();
for (const { version, tests } of columns) {
  for (const test of tests) {
    const title = test.fullName.replace(/ ?\(hazards? [^)]*\)/, '');
    for (const hazard of hazardsOf(test.fullName)) {
      const key = `${hazard}\0${title}`;
      const row = rows.get(key) ?? { hazard, title, cells: new Map() };
      row.cells.set(version, outcome(test));
      rows.set(key, row);
    }
  }
}

const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |\n`;
const versions = columns.map(({ version }) => version);
process.stdout.write(line(['#', 'hazard: virsh; kvmsnap', ...versions]));
process.stdout.write(line(['--:', '---', ...versions.map(() => '---')]));
for (const { hazard, title, cells } of [...rows.values()].sort((a, b) => a.hazard - b.hazard)) {
  process.stdout.write(line([hazard, title, ...versions.map((version) => cells.get(version) ?? '')]));
}
