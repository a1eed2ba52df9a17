import { defineConfig } from 'rolldown';

/** CommonJS chunks, minified, dependencies inlined: what starts fastest (each command loads only its own). */
export default defineConfig({
  input: 'src/main.ts',
  platform: 'node',
  output: {
    dir: 'dist',
    format: 'cjs',
    minify: true,
    cleanDir: true,
    entryFileNames: '[name].cjs',
    chunkFileNames: '[name]-[hash].cjs',
  },
});
