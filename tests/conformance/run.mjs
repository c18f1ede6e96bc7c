// Runs the conformance suite and judges it by the baselines beside this file:
//   node run.mjs FOLDER URL [--write-baseline]
// FOLDER has the suite in node_modules and takes the results. scripts/conformance calls this.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [folder, url, option] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const suite = resolve(folder, "node_modules/@modelcontextprotocol/conformance/dist/index.js");

/** Each is a set of scenarios, frozen by the suite, and has a baseline. */
const REVISIONS = ["2025-11-25", "2026-07-28"];
/** Not in the set of its revision, but a rule of it: must pass whole. */
const MANDATORY = { scenario: "http-header-validation", revision: "2026-07-28" };
/** A message that is not valid is a mistake of the server whatever was asked: no baseline may have it. */
const NEVER_EXPECTED = "wire-schema-valid";
/** Stands in a baseline where a person has to write the reason. */
const NO_REASON = "REASON?";

/** The beginning of a check's message, which may hold whole answers. */
function brief(text) {
  const line = text.split(" — message: ")[0].replace(/\s+/g, " ").trim();
  return line.length > 300 ? `${line.slice(0, 300)} …` : line;
}

function run(...args) {
  const ended = spawnSync(process.execPath, [suite, ...args], { encoding: "utf8", timeout: 120_000 });
  if (ended.error) throw ended.error;
  return { succeeded: ended.status === 0, output: ended.stdout + ended.stderr };
}

/** The server scenarios that count for a revision. */
function scored(revision) {
  const { output } = run("list", "--requirements", revision);
  const section = output.split(/^Server scenarios/m)[1]?.split(/^\S/m)[0] ?? "";
  return [...section.matchAll(/^ +- (\S+)/gm)].map((match) => match[1]);
}

/** The checks of every scenario in a folder of results. */
function results(path) {
  return readdirSync(path).map((name) => ({
    scenario: name.replace(/^server-/, "").replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, ""),
    checks: JSON.parse(readFileSync(join(path, name, "checks.json"), "utf8")),
  }));
}

/** With a baseline, the suite counts a warning as a failure. */
const fails = ({ status }) => status === "FAILURE" || status === "WARNING";

/** A folder for the results of one run. */
function fresh(name) {
  const path = join(folder, "results", name);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  return path;
}

const baselineOf = (revision) => join(here, `baseline-${revision}.yml`);

/** The entries of a baseline, each with its reason. */
function readBaseline(revision) {
  const path = baselineOf(revision);
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const lines = text.matchAll(/^ +- (\S+)(?: +# *(.*))?$/gm);
  return new Map([...lines].map(([, entry, reason]) => [entry, reason ?? ""]));
}

function writeBaseline(revision, failing, reasons) {
  const lines = [...failing].map(([entry, message]) => {
    return `  - ${entry} # ${reasons.get(entry) || `${NO_REASON} ${message}`}\n`;
  });
  const head = `# What the server does not pass of the requirements of ${revision}: scenario:check # the reason.
# scripts/conformance --write-baseline writes this file and keeps the reasons.
server:${lines.length === 0 ? " []" : ""}
`;
  writeFileSync(baselineOf(revision), head + lines.join(""));
}

/** Runs the set of a revision; the complaints. */
function judge(revision) {
  const baseline = readBaseline(revision);
  if (!existsSync(baselineOf(revision))) writeBaseline(revision, [], baseline);
  const path = fresh(revision);
  const suiteSays = run(
    "server", "--url", url, "--requirements", revision, "--expected-failures", baselineOf(revision), "-o", path,
  );
  const wanted = scored(revision);
  const scenarios = results(path).filter(({ scenario }) => wanted.includes(scenario));
  scenarios.sort((a, b) => wanted.indexOf(a.scenario) - wanted.indexOf(b.scenario));
  const failing = new Map();
  const invalid = new Map();
  let passed = 0;
  for (const { scenario, checks } of scenarios) {
    for (const { id, status, errorMessage } of checks) {
      if (status === "SUCCESS") passed += 1;
      if (!fails({ status })) continue;
      const message = brief(errorMessage ?? status);
      if (id === NEVER_EXPECTED) invalid.set(message, [...(invalid.get(message) ?? []), scenario]);
      else failing.set(`${scenario}:${id}`, message);
    }
  }
  const complaints = [...invalid].map(
    ([message, where]) => `an answer is not valid in ${where.length} scenarios, ${where[0]} for one: ${message}`,
  );
  if (option === "--write-baseline") {
    writeBaseline(revision, failing, baseline);
    const open = [...failing.keys()].filter((entry) => !baseline.get(entry));
    console.log(`conformance: wrote ${relative(".", baselineOf(revision))}: ${failing.size} entries`);
    complaints.push(...open.map((entry) => `${entry} is new in the baseline: write its reason`));
    return complaints.map((complaint) => `${revision} ${complaint}`);
  }
  const whole = scenarios.filter(({ checks }) => !checks.some(fails));
  const expected = [...failing.keys()].filter((entry) => baseline.has(entry)).length;
  const unexpected = failing.size - expected + invalid.size;
  const counts = `${passed} checks passed, ${unexpected} failed, ${expected} in the baseline`;
  console.log(`conformance: ${revision}: ${counts} (${whole.length} of ${wanted.length} scenarios pass whole)`);

  for (const [entry, message] of failing) {
    if (!baseline.has(entry)) complaints.push(`${entry} fails: ${message}`);
  }
  for (const [entry, reason] of baseline) {
    if (!failing.has(entry)) complaints.push(`${entry} does not fail any more: remove it from the baseline`);
    if (!reason || reason.startsWith(NO_REASON)) complaints.push(`${entry} has no reason in the baseline`);
  }
  for (const scenario of wanted.filter((name) => !scenarios.some((ran) => ran.scenario === name))) {
    complaints.push(`${scenario} did not run`);
  }
  if (!suiteSays.succeeded && complaints.length === 0) {
    complaints.push(`the suite is not content:\n${suiteSays.output.split("\n").slice(-20).join("\n")}`);
  }
  return complaints.map((complaint) => `${revision} ${complaint}`);
}

/** Runs the one scenario that has no baseline; the complaints. */
function judgeMandatory({ scenario, revision }) {
  const path = fresh(scenario);
  const suiteSays = run("server", "--url", url, "--scenario", scenario, "--spec-version", revision, "-o", path);
  const checks = results(path).flatMap((result) => result.checks);
  const failing = checks.filter(({ status }) => status !== "SUCCESS");
  console.log(`conformance: ${scenario}: ${checks.length - failing.length} checks passed, ${failing.length} failed`);
  const complaints = failing.map(
    ({ id, errorMessage, status }) => `${scenario}:${id} fails: ${brief(errorMessage ?? status)}`,
  );
  if (checks.length === 0 || (!suiteSays.succeeded && failing.length === 0)) {
    complaints.push(`${scenario}: the suite is not content:\n${suiteSays.output}`);
  }
  return complaints;
}

const complaints = [...REVISIONS.flatMap(judge), ...judgeMandatory(MANDATORY)];
for (const complaint of complaints) console.error(`conformance: ${complaint}`);
if (complaints.length > 0) {
  console.error(`conformance: not as it shall be; all results are in ${folder}/results`);
  process.exit(1);
}
console.log("conformance: all is well");
