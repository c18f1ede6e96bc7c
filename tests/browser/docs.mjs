// Reads GET /docs as a person does, in headless Chromium: it loads without a complaint of the browser, calls tools with
// a key, tells what is wrong without one, asks nobody but its server, and holds for people who use no mouse or little
// room. Wants BASE, KEY and CHROMIUM; leaves screenshots in SHOTS.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const { BASE, KEY, CHROMIUM, SHOTS } = process.env;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"],
});
const themes = ["light", "dark"];
const widths = [1280, 390, 360];

/** A page with what goes wrong on it and where it asks. Answers that refuse a key are no complaint here. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const complaints = [];
  page.on("console", (message) => {
    const refused = /Failed to load resource: the server responded with a status of 40[13]/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !refused) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && url.origin !== BASE) complaints.push(`a request to ${url.origin}`);
  });
  await page.goto(`${BASE}/docs`);
  await page.locator("#route-list .route").first().waitFor();
  return { page, complaints, close: () => context.close() };
}

async function useKey(page, key) {
  await page.getByLabel("API key", { exact: true }).fill(key);
  await page.getByRole("button", { name: "Use key" }).click();
}

/** Calls a tool by its form; what the page shows of the answer. */
async function call(page, tool, values = {}) {
  const card = page.locator(`#tool-${tool}`);
  for (const [name, value] of Object.entries(values)) {
    const field = card.locator(`[name=${name}]`);
    if ((await field.evaluate((element) => element.tagName)) === "SELECT") await field.selectOption({ label: value });
    else await field.fill(value);
  }
  await card.getByRole("button", { name: "Call", exact: true }).click();
  await card.getByText(/^The call (is done|failed)/).waitFor();
  const verdict = await card.locator(".verdict").innerText();
  const shown = card.locator(".result pre");
  return { card, verdict, result: (await shown.count()) ? JSON.parse(await shown.innerText()) : undefined };
}

const steps = {
  async "a missing key is told in words"() {
    const { page, complaints, close } = await open();
    await page.locator("#tool-list article").first().waitFor();
    // What the server offers can be seen without the key.
    assert.equal(await page.locator("#tool-list article").count(), 5);
    const { verdict } = await call(page, "prompt_examples");
    assert.match(verdict, /^401.*Missing API key.*Enter the key under Connect/s);
    assert.equal(await page.locator(".route").count(), 10, "every route");
    assert.match(await page.locator("#facts").innerText(), /Version \d.*Needs an API key/s);
    assert.equal(await page.locator("#address").innerText(), `${BASE}/mcp`);
    assert.deepEqual(complaints, []);
    await close();
  },

  async "a wrong key too, and a right one after it works"() {
    const { page, complaints, close } = await open();
    await useKey(page, "wrong");
    await page.getByText("Wrong API key").first().waitFor();
    await useKey(page, KEY);
    await page.getByText("The server takes this key.").waitFor();
    assert.equal(await page.locator("#tool-list article").count(), 5);
    // A key that stops to work is told where the call is.
    await useKey(page, "revoked");
    await page.locator("#tools-problem").waitFor();
    const { verdict } = await call(page, "prompt_examples");
    assert.match(verdict, /^403.*Wrong API key.*Check the key/s);
    assert.deepEqual(complaints, []);
    await close();
  },

  async "the main job, from examples to the link"() {
    const { page, complaints, close } = await open();
    await useKey(page, KEY);
    await page.locator("#tool-list article").first().waitFor();
    const examples = await call(page, "prompt_examples");
    assert.match(examples.verdict, /^200 · done\s+\d+ ms/);
    assert.equal(examples.result.samples.length, 5);
    const prompt = "A tea house in Graz, <b>it's</b> \"small\" & $HOME.";
    const created = await call(page, "task_create", { prompt, speed_vs_detail: "ping" });
    const id = created.result.task_id;
    assert.equal(await page.locator("#tool-task_status [name=task_id]").inputValue(), id, "the id is passed on");
    let status;
    const until = Date.now() + 60_000;
    do status = await call(page, "task_status"); while (status.result.state !== "completed" && Date.now() < until);
    assert.equal(status.result.state, "completed");
    const info = await call(page, "task_file_info", { artifact: "report" });
    const link = info.card.getByRole("link", { name: "Open 030-report.html" });
    assert.equal(await link.getAttribute("href"), info.result.download_url);
    assert.equal((await fetch(info.result.download_url)).status, 200);
    // The command makes the same call.
    await page.locator("#tool-task_create").getByText("As a command").click();
    const command = await page.locator("#tool-task_create").getByRole("group", { name: "curl command for task_create" }).innerText();
    assert.match(command, /-H "X-API-Key: \$PLANEXE_MCP_API_KEY"/);
    assert.ok(!command.includes(KEY), "the key is not shown");
    const { execFileSync } = await import("node:child_process");
    const again = execFileSync("sh", ["-c", `${command} -s`], { env: { ...process.env, PLANEXE_MCP_API_KEY: KEY }, encoding: "utf8" });
    assert.equal(JSON.parse(again).structuredContent.task_id, id, "the same prompt within a minute is the same task");
    assert.deepEqual(complaints, []);
    await close();
  },

  async "errors of tools are told, and words of the server stay text"() {
    const { page, complaints, close } = await open();
    await useKey(page, KEY);
    await page.locator("#tool-list article").first().waitFor();
    const { verdict } = await call(page, "task_stop", { task_id: "<img src=x onerror=alert(1)>" });
    assert.match(verdict, /^200 · TASK_NOT_FOUND.*No task has this task_id/s);
    await page.route("**/mcp/tools/call", (route) =>
      route.fulfill({ status: 200, json: { structuredContent: null, error: { code: "X", message: "<img src=x onerror=alert(1)>" } } }));
    const hostile = await call(page, "task_stop");
    assert.match(hostile.verdict, /<img src=x/);
    assert.equal(await page.locator("main img").count(), 0);
    await page.route("**/mcp/tools/call", (route) => route.abort());
    const gone = await call(page, "task_stop");
    assert.match(gone.verdict, /^No answer.*did not answer/s);
    assert.deepEqual(complaints.filter((text) => !text.includes("ERR_FAILED")), []);
    await close();
  },

  async "the key stays in its tab"() {
    const { page, close } = await open();
    await useKey(page, KEY);
    await page.locator("#tool-list article").first().waitFor();
    assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie, location.search]), [0, "", ""]);
    await page.reload();
    await page.locator("#tool-list article").first().waitFor();
    await page.getByRole("button", { name: "Forget it" }).click();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    const { verdict } = await call(page, "task_stop", { task_id: "x" });
    assert.match(verdict, /^401/);
    await close();
  },

  async "it works without a mouse"() {
    const { page, complaints, close } = await open();
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
    await page.getByLabel("API key", { exact: true }).focus();
    await page.keyboard.type(KEY);
    await page.keyboard.press("Enter");
    await page.locator("#tool-list article").first().waitFor();
    await page.locator("#tool-prompt_examples button[type=submit]").focus();
    await page.keyboard.press("Enter");
    await page.locator("#tool-prompt_examples .verdict").waitFor();
    const focused = await page.evaluate(() => document.activeElement.textContent);
    assert.equal(focused, "Call", "the focus stays on the button");
    assert.deepEqual(complaints, []);
    await close();
  },

  async "it fits and reads well in both themes"() {
    for (const theme of themes) {
      for (const width of widths) {
        const { page, complaints, close } = await open({ colorScheme: theme, viewport: { width, height: 900 }, bypassCSP: false });
        await useKey(page, KEY);
        await page.locator("#tool-list article").first().waitFor();
        await call(page, "prompt_examples");
        await call(page, "task_stop", { task_id: "none" });
        await page.locator(".route").nth(4).locator("summary").click();
        await page.getByText("Configuration to paste").click();
        const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(beyond <= 0, `${beyond} px wider than ${width}`);
        // By the protocol of the browser's tools: the page's own policy would not let it in.
        await page.evaluate(axe);
        const found = await page.evaluate(() => window.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
        assert.deepEqual(found.violations.map((one) => [one.id, one.nodes.map((node) => [node.target.join(" "), node.failureSummary])]), []);
        await page.evaluate(() => scrollTo(0, 0));
        await page.screenshot({ path: `${SHOTS}/${theme}-${width}.png`, fullPage: true });
        for (const part of ["tool-prompt_examples", "tool-task_create", "tool-task_stop", "routes"]) {
          await page.locator(`#${part}`).screenshot({ path: `${SHOTS}/${theme}-${width}-${part}.png` });
        }
        assert.deepEqual(complaints, []);
        await close();
      }
    }
  },
};

let failed = 0;
for (const [name, step] of Object.entries(steps)) {
  try {
    await step();
    console.log(`docs-page: ${name}`);
  } catch (error) {
    failed += 1;
    console.error(`docs-page: FAILED: ${name}\n${error.stack}`);
  }
}
await browser.close();
process.exit(failed ? 1 : 0);
