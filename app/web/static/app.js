// Entry point: takes the key from the address, builds the frame and starts the router.

import { installAnnouncer } from "./announce.js";
import { jobPage } from "./job/page.js";
import { comparePage } from "./pages/compare.js";
import { datasetPage } from "./pages/dataset.js";
import { datasetsPage } from "./pages/datasets.js";
import { devicesPage } from "./pages/devices.js";
import { jobsPage } from "./pages/jobs.js";
import { keysPage } from "./pages/keys.js";
import { missingPage } from "./pages/missing.js";
import { modelPage } from "./pages/model.js";
import { modelsPage } from "./pages/models.js";
import { newJobPage } from "./pages/new_job.js";
import { newSweepPage } from "./pages/new_sweep.js";
import { operatePage } from "./pages/operate.js";
import { overviewPage } from "./pages/overview.js";
import { queuesPage } from "./pages/queues.js";
import { sweepPage } from "./pages/sweep.js";
import { sweepsPage } from "./pages/sweeps.js";
import { tryPage } from "./pages/try.js";
import { installFrame } from "./parts/frame.js";
import { startRouter } from "./router.js";
import { takeKeyFromAddress } from "./session.js";

// All pages are imported up front, so an open tab keeps working after the service is upgraded.
const ROUTES = [
  [/^\/$/, overviewPage, "/"],
  [/^\/models$/, modelsPage, "/models"],
  [/^\/models\/([^/]+)$/, modelPage, "/models"],
  [/^\/datasets$/, datasetsPage, "/datasets"],
  [/^\/datasets\/([^/]+)$/, datasetPage, "/datasets"],
  [/^\/devices$/, devicesPage, "/devices"],
  [/^\/jobs$/, jobsPage, "/jobs"],
  [/^\/jobs\/new$/, newJobPage, "/jobs"],
  [/^\/jobs\/([^/]+)$/, jobPage, "/jobs"],
  [/^\/compare$/, comparePage, "/jobs"],
  [/^\/sweeps$/, sweepsPage, "/sweeps"],
  [/^\/sweeps\/new$/, newSweepPage, "/sweeps"],
  [/^\/sweeps\/([^/]+)$/, sweepPage, "/sweeps"],
  [/^\/try$/, tryPage, "/try"],
  [/^\/queues$/, queuesPage, "/queues"],
  [/^\/operate$/, operatePage, "/queues"],
  [/^\/keys$/, keysPage, "/keys"],
  [/^.*$/, missingPage, null],
];

takeKeyFromAddress();
const { main, mark } = installFrame();
installAnnouncer();
startRouter(ROUTES, main, mark);
