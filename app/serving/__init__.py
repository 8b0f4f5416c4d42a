"""The serving process: opens ONNX files and images, computes, and has nothing worth stealing.

The API starts it (`app.inference.process`), sends it bytes and numbers over sockets, and restarts
it when it dies. It has no keys, no database, no store, no network and no files of the service. The
API's side may import `frames` and `description`; the other modules run in the process only.
"""
