// node matrix-table.mjs [--readme README.md] VERSION=TESTS.json...
// Prints, from what really ran, what became of each hazard on each version: virsh's outcome and kvmsnap's.
// --readme puts that into the README, between `<!-- hazards -->` and `<!-- end -->`.
import { readFileSync, writeFileSync } from 'node:fs';

const args = process.argv.slice(2);
const readme = args[0] === '--readme' ? args.splice(0, 2)[1] : undefined;

const columns = args.map((argument) => {
  const [version, file] = argument.split('=');
  const { testResults } = JSON.parse(readFileSync(file, 'utf8'));
  return { version, tests: testResults.flatMap(({ assertionResults }) => assertionResults) };
});

/** What a test has noted (hazards/promise.ts); of one that failed before, its title alone. */
function noted({ title, status, meta: { hazard } }) {
  const [, number, what] = /^(\d+): (.*)$/.exec(title) ?? [];
  const outcome = status === 'passed' || hazard ? hazard : { virsh: '', kvmsnap: '**FAILED**' };
  return number && outcome ? { ...outcome, number: Number(number), what } : undefined;
}

/** By hazard, then by outcome, the versions that have it. */
const hazards = new Map();
for (const { version, tests } of columns) {
  for (const { number, what, virsh, kvmsnap } of tests.map(noted).filter(Boolean)) {
    const key = `${number}\0${what}`;
    const { outcomes } = hazards.get(key) ?? hazards.set(key, { number, what, outcomes: new Map() }).get(key);
    const outcome = `${virsh} | ${kvmsnap}`;
    outcomes.set(outcome, [...(outcomes.get(outcome) ?? []), version]);
  }
}

const named = (versions) => (versions.length === columns.length ? 'all' : versions.join(', '));
const rows = [...hazards.values()]
  .sort((a, b) => a.number - b.number)
  .flatMap(({ number, what, outcomes }) =>
    [...outcomes].map(([outcome, versions]) => `| ${number} | ${what} | ${named(versions)} | ${outcome} |\n`),
  );
const table = `| # | hazard | libvirt | virsh | kvmsnap |\n| --: | --- | --- | --- | --- |\n${rows.join('')}`;

process.stdout.write(table);
if (readme) {
  const place = /(<!-- hazards -->\n).*?(<!-- end -->)/s;
  const text = readFileSync(readme, 'utf8');
  writeFileSync(
    readme,
    text.replace(place, (_, before, after) => `${before}\n${table}\n${after}`),
  );
}
