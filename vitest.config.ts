import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes, not threads: a test that brings its process down is then seen as such.
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    watch: false,
  },
});
