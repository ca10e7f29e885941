// Reads what vitest's JSON reporters wrote. Prints the ten test files that took longest, then, as the last line,
// `N passed, N failed`, and `, N skipped` if any were. A report that was promised and is not there stands for one failure:
// that suite did not get as far as counting.
import { existsSync, readFileSync } from "node:fs";
import { relative } from "node:path";

let [passed, failed, skipped] = [0, 0, 0];
const files = [];
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
  for (const { name, startTime, endTime } of report.testResults)
    files.push({ name, seconds: (endTime - startTime) / 1000 });
}
if (files.length > 0) {
  console.log("\nThe ten slowest test files");
  for (const { name, seconds } of files.toSorted((a, b) => b.seconds - a.seconds).slice(0, 10)) {
    console.log(`${seconds.toFixed(1).padStart(6)} s  ${relative(process.cwd(), name)}`);
  }
}
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
