// What a config asks of single layers, and changes to it. No elements here.
//
// Asked is {kind: "auto"}, {kind: "frozen"} or {kind: "width", width}: the method decides, every
// channel stays, or so many stay. It is written as an entry of `selection.exclude`, or as the
// `ratio` of an entry of `selection.layers`; the key is the name of the first layer of the group.

/** Return what a config asks of a layer, or null if the layer cannot be pruned. */
export function askedOf(config, node) {
  if (!node.group) {
    return null;
  }
  const { exclude = [], layers = {} } = config.selection ?? {};
  const key = keyOf(node.group);
  if (exclude.includes(key)) {
    return { kind: "frozen" };
  }
  const ratio = Object.hasOwn(layers, key) ? (layers[key].ratio ?? null) : null;
  return ratio === null ? { kind: "auto" } : { kind: "width", width: Math.round(node.before * (1 - ratio)) };
}

/** Return a config that asks something of a layer and is else the same. */
export function withAsked(config, node, asked) {
  const key = keyOf(node.group);
  const { exclude = [], layers = {}, ...rest } = config.selection ?? {};
  const { ratio: _before, ...limits } = Object.hasOwn(layers, key) ? layers[key] : {};
  const ratio = asked.kind === "width" ? { ratio: Number((1 - asked.width / node.before).toFixed(6)) } : {};
  const own = { ...limits, ...ratio };
  // The last entry wins, so an exact name goes behind the user's patterns.
  const others = Object.entries(layers).filter(([name]) => name !== key);
  const entries = Object.keys(own).length > 0 ? [...others, [key, own]] : others;
  const kept = exclude.filter((name) => name !== key);
  return withParts(config, rest, asked.kind === "frozen" ? [...kept, key] : kept, Object.fromEntries(entries));
}

/** Return a config without what it asks of layers. */
export function withoutLayers(config) {
  const { exclude: _globs, layers: _overrides, ...rest } = config.selection ?? {};
  return withParts(config, rest, [], {});
}

/** Return a config with what another one asks of layers. */
export function withLayersOf(config, other) {
  const { exclude = [], layers = {} } = other.selection ?? {};
  return withParts(config, config.selection ?? {}, exclude, layers);
}

function withParts(config, rest, exclude, layers) {
  const selection = { ...rest, ...(exclude.length > 0 && { exclude }), ...(Object.keys(layers).length > 0 && { layers }) };
  const { selection: _before, ...others } = config;
  return Object.keys(selection).length > 0 ? { ...config, selection } : others;
}

/** Return the pattern that matches a group's first layer and nothing else. */
function keyOf(group) {
  return group.replace(/#\d+$/, "").replaceAll(/[*?[]/g, "[$&]");
}
