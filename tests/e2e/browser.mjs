/**
 * Drives a headless Chromium on behalf of a Python test. See ../harness/channel.mjs for the channel.
 *
 * Environment: CHROMIUM is the program to run. Tabs are numbered here and have separate storage, like
 * different people. Pushed lines: {"tab", "problem"} for console errors and uncaught exceptions.
 */

import { createRequire } from "node:module";
import { push, serve } from "../harness/channel.mjs";

// The one package.json of the tests lives with the interop tests.
const { chromium } = createRequire(new URL("../interop/package.json", import.meta.url))("playwright-core");

// Chromium refuses to sandbox as root, which is what containers run as.
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const tabs = new Map();

async function open({ url, window, timeout }) {
  const context = await browser.newContext(window);
  const page = await context.newPage();
  const tab = tabs.size + 1;
  tabs.set(tab, page);
  page.on("console", (message) => {
    if (message.type() === "error") {
      push({ tab, problem: message.text() });
    }
  });
  page.on("pageerror", (failure) => push({ tab, problem: String(failure) }));
  await page.goto(url, { timeout });
  return tab;
}

const element = ({ tab, selector }) => tabs.get(tab).locator(selector);

const operations = {
  open,
  fill: (request) => element(request).fill(request.text, { timeout: request.timeout }),
  click: (request) => element(request).click({ timeout: request.timeout }),
  press: (request) => element(request).press(request.key, { timeout: request.timeout }),
  text: (request) => element(request).textContent({ timeout: request.timeout }),
  waitText: (request) =>
    element(request)
      .filter({ hasText: request.text })
      .first()
      .waitFor({ state: "visible", timeout: request.timeout }),
  waitGone: (request) => element(request).first().waitFor({ state: "hidden", timeout: request.timeout }),
  count: (request) => element(request).count(),
  evaluate: ({ tab, expression }) => tabs.get(tab).evaluate(expression),
  reload: async ({ tab, timeout }) => {
    await tabs.get(tab).reload({ timeout });
  },
  screenshot: async ({ tab, path }) => {
    await tabs.get(tab).screenshot({ path, fullPage: true });
  },
  close: ({ tab }) => tabs.get(tab).context().close(),
};

function describe(failure) {
  return { message: failure instanceof Error ? failure.message : String(failure) };
}

await serve(operations, describe, () => browser.close());
