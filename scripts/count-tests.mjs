// Adds up what vitest's JSON reporters wrote: `N passed, N failed`, and `, N skipped` if any were.
// A report that was promised and is not there stands for one failure: that suite did not get as far as counting.
import { existsSync, readFileSync } from "node:fs";

let [passed, failed, skipped] = [0, 0, 0];
for (const path of process.argv.slice(2)) {
  if (!existsSync(path)) {
    failed++;
    continue;
  }
  const report = JSON.parse(readFileSync(path, "utf8"));
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  skipped += report.numPendingTests + report.numTodoTests;
  // A file that fails before its first test has no tests to count.
  failed += report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
}
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
