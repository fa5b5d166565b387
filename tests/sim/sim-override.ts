/** A port with some methods replaced; the others keep their `this`. */
export function override<Port extends object>(port: Port, methods: Partial<Port>): Port {
  const replaced = new Map<PropertyKey, unknown>(Object.entries(methods));
  return new Proxy(port, {
    get: (target, key) => {
      if (replaced.has(key)) return replaced.get(key);
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
