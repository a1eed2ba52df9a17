// kvmsnap-VERSION.tgz, by npm, which writes the same time into each file itself.
import { BUILD, FACTS, run } from './facts.mjs';

/** Packs what is built already, and returns the path. */
export function npmTarball() {
  run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', BUILD]);
  return `${BUILD}kvmsnap-${FACTS.version}.tgz`;
}
