// Helpers that read JSON Schema as pydantic writes it.

/** Resolve references. Keywords beside a $ref override the target's. */
export function resolve(schema, root) {
  let found = schema;
  while (found.$ref !== undefined) {
    const { $ref, ...beside } = found;
    const target = $ref
      .slice(2)
      .split("/")
      .reduce((part, key) => part[key], root);
    found = { ...target, ...beside };
  }
  return found;
}

/** Return [schema without null, whether null is allowed]. */
export function splitNull(schema, root) {
  const options = schema.anyOf;
  if (options === undefined || !options.some((option) => option.type === "null")) {
    return [schema, false];
  }
  const others = options.filter((option) => option.type !== "null");
  const { anyOf, ...beside } = schema;
  const inner = others.length === 1 ? resolve(others[0], root) : { anyOf: others };
  return [{ ...inner, ...beside }, true];
}

/** Return the kind of field for a schema. */
export function kindOf(schema) {
  if (schema.oneOf !== undefined && schema.discriminator !== undefined) {
    return "union";
  }
  if (schema.const !== undefined) {
    return "constant";
  }
  if (schema.enum !== undefined) {
    return "choice";
  }
  if (schema.anyOf !== undefined) {
    return "mixed"; // a number or a keyword
  }
  if (schema.type === "array") {
    return schema.items?.enum !== undefined ? "choices" : "list";
  }
  if (schema.type === "object") {
    return schema.properties === undefined ? "map" : "object";
  }
  return schema.type; // boolean, integer, number, string
}

/** Return the variant of a union by the value of its discriminator. */
export function variantOf(schema, root, name) {
  return resolve({ $ref: schema.discriminator.mapping[name] }, root);
}

/** Return a schema's default, built from its properties if it has none itself. */
export function defaultOf(schema, root) {
  const found = resolve(schema, root);
  if (found.default !== undefined) {
    return structuredClone(found.default);
  }
  if (found.type === "object" && found.properties !== undefined) {
    return Object.fromEntries(
      Object.entries(found.properties)
        .map(([name, part]) => [name, defaultOf(part, root)])
        .filter(([, value]) => value !== undefined),
    );
  }
  return kindOf(found) === "map" ? {} : found.const;
}

/** Return the part of a value that differs from the defaults, as a user would write it. */
export function changesOf(schema, root, value) {
  const changes = {};
  for (const [name, part] of Object.entries(resolve(schema, root).properties)) {
    const found = resolve(part, root);
    const kind = kindOf(splitNull(found, root)[0]);
    if (value[name] === undefined) {
      continue;
    }
    if (kind === "object") {
      addIfAny(changes, name, changesOf(found, root, value[name]));
    } else if (kind === "union") {
      addIfAny(changes, name, changesOfUnion(found, root, value[name]));
    } else if (!isSame(value[name], defaultOf(found, root))) {
      changes[name] = value[name];
    }
  }
  return changes;
}

/** Return the JSON pointers of all simple values in a schema, over all variants. */
export function pointersOf(schema, root, prefix = "") {
  const found = splitNull(resolve(schema, root), root)[0];
  const kind = kindOf(found);
  if (kind === "object") {
    return Object.entries(found.properties).flatMap(([name, part]) => pointersOf(part, root, `${prefix}/${name}`));
  }
  if (kind === "union") {
    const variants = Object.keys(found.discriminator.mapping).map((name) => variantOf(found, root, name));
    return [...new Set(variants.flatMap((variant) => pointersOf(variant, root, prefix)))];
  }
  return [prefix];
}

function changesOfUnion(schema, root, value) {
  const tag = schema.discriminator.propertyName;
  const changes = changesOf(variantOf(schema, root, value[tag]), root, value);
  const isDefault = schema.default?.[tag] === value[tag];
  return isDefault ? without(changes, tag) : { [tag]: value[tag], ...without(changes, tag) };
}

function addIfAny(target, name, changes) {
  if (Object.keys(changes).length > 0) {
    target[name] = changes;
  }
}

function without(object, name) {
  const { [name]: _gone, ...rest } = object;
  return rest;
}

function isSame(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}
