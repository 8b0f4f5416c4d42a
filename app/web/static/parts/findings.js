// What a job warns of: in red what makes its result doubtful, in yellow the rest.

import { h } from "../dom.js";
import { notice } from "./problem.js";

/** Return notices for warnings and findings, as a job and a plan have them. */
export function warningNotices(warnings, findings = []) {
  const serious = findings.filter((finding) => finding.severity === "serious").map((finding) => finding.message);
  const others = warnings.filter((warning) => !serious.includes(warning));
  return [
    serious.length > 0 && notice("bad", "Do not trust the result before this is understood", list(serious)),
    others.length > 0 && notice("warn", null, list(others)),
  ].filter(Boolean);
}

function list(messages) {
  return h("ul", {}, messages.map((message) => h("li", {}, message)));
}
