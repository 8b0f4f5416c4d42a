// Where it begins: the key, the frame, and which page an address means.

import { installVoice } from "./announce.js";
import { installFrame } from "./parts/frame.js";
import { datasetsPage } from "./pages/datasets.js";
import { jobPage } from "./job/page.js";
import { jobsPage } from "./pages/jobs.js";
import { missingPage } from "./pages/missing.js";
import { modelPage } from "./pages/model.js";
import { modelsPage } from "./pages/models.js";
import { newJobPage } from "./pages/new_job.js";
import { newSweepPage } from "./pages/new_sweep.js";
import { overviewPage } from "./pages/overview.js";
import { queuesPage } from "./pages/queues.js";
import { startRouter } from "./router.js";
import { sweepPage } from "./pages/sweep.js";
import { sweepsPage } from "./pages/sweeps.js";
import { takeKeyFromAddress } from "./session.js";
import { tryPage } from "./pages/try.js";

const ROUTES = [
  [/^\/$/, overviewPage, "/"],
  [/^\/models$/, modelsPage, "/models"],
  [/^\/models\/([^/]+)$/, modelPage, "/models"],
  [/^\/datasets$/, datasetsPage, "/datasets"],
  [/^\/jobs$/, jobsPage, "/jobs"],
  [/^\/jobs\/new$/, newJobPage, "/jobs"],
  [/^\/jobs\/([^/]+)$/, jobPage, "/jobs"],
  [/^\/sweeps$/, sweepsPage, "/sweeps"],
  [/^\/sweeps\/new$/, newSweepPage, "/sweeps"],
  [/^\/sweeps\/([^/]+)$/, sweepPage, "/sweeps"],
  [/^\/try$/, tryPage, "/try"],
  [/^\/queues$/, queuesPage, "/queues"],
  [/^.*$/, missingPage, null],
];

takeKeyFromAddress();
const { main, mark } = installFrame();
installVoice();
startRouter(ROUTES, main, mark);
