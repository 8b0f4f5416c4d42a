// Notices for a job's warnings: serious findings in red, the rest in yellow.

import { h } from "../dom.js";
import { notice } from "./problem.js";

/** Return notices for the warnings and findings of a job or a plan. */
export function warningNotices(warnings, findings = []) {
  const serious = findings.filter((finding) => finding.severity === "serious").map((finding) => finding.message);
  const others = warnings.filter((warning) => !serious.includes(warning));
  return [
    serious.length > 0 && notice("bad", "Check this before you trust the result", list(serious)),
    others.length > 0 && notice("warn", null, list(others)),
  ].filter(Boolean);
}

function list(messages) {
  return h("ul", {}, messages.map((message) => h("li", {}, message)));
}
