// The stages of a job in their order, and what each does. Written by
// `python -m docs.generate_stages` from `Stage` in app/contracts/job.py: change it there.

export const DOES = {
  "intake": "Reads model and data",
  "saliency": "Measures how much each filter matters",
  "select": "Decides which go",
  "prune": "Removes them",
  "retrain": "Trains what is left",
  "verify": "Proves that it computes what it should",
  "export": "Writes and measures the files",
  "package": "Writes the report and lists every file"
};

export const STAGES = Object.keys(DOES);
