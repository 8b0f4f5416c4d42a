// What metrics are called, and which are shares. Written by `python -m docs.generate_kinds` from
// secateur/engine/metrics: change them there. summary.js asks it.

export const METRICS = {
  "top1": {
    "words": "accuracy",
    "isShare": true
  },
  "top5": {
    "words": "top-5 accuracy",
    "isShare": true
  },
  "macro_f1": {
    "words": "macro-F1",
    "isShare": true
  },
  "mean_error": {
    "words": "mean absolute error",
    "isShare": false
  },
  "agreement": {
    "words": "agreement with the dense network",
    "isShare": true
  },
  "output_error": {
    "words": "distance to the dense network's outputs",
    "isShare": true
  }
};
