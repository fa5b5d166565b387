/** Which proxy a URL is reached through, as the environment says. Rules: H10. */
import { describe, expect, test } from "bun:test";
import {
  isLoopback,
  proxyFor,
  takeProxySettings,
} from "../../src/adapters/network/proxy-environment.ts";

const PROXY = "http://proxy.test:3128";

function originFor(url: string, environment: Record<string, string>): string {
  const proxy = proxyFor(takeProxySettings({ ...environment }), new URL(url));
  return proxy === undefined ? "direct" : `${proxy.variable} ${proxy.url.href}`;
}

describe("proxyFor()", () => {
  const chosen: readonly (readonly [string, Record<string, string>, string])[] = [
    ["http://sync.test", {}, "direct"],
    ["http://sync.test", { http_proxy: PROXY }, `http_proxy ${PROXY}/`],
    ["http://sync.test", { HTTP_PROXY: PROXY }, `HTTP_PROXY ${PROXY}/`],
    ["http://sync.test", { HTTP_PROXY: "http://x", http_proxy: PROXY }, `http_proxy ${PROXY}/`],
    ["http://sync.test", { HTTP_PROXY: PROXY, http_proxy: "" }, `HTTP_PROXY ${PROXY}/`],
    ["http://sync.test", { https_proxy: PROXY }, "direct"],
    ["https://sync.test", { http_proxy: PROXY }, "direct"],
    ["https://sync.test", { HTTPS_PROXY: PROXY }, `HTTPS_PROXY ${PROXY}/`],
    ["https://sync.test", { all_proxy: PROXY }, `all_proxy ${PROXY}/`],
    ["http://sync.test", { ALL_PROXY: "http://x", http_proxy: PROXY }, `http_proxy ${PROXY}/`],
    ["http://sync.test", { http_proxy: "proxy.test:3128" }, `http_proxy ${PROXY}/`],
    ["http://sync.test", { http_proxy: "10.0.0.1:3128" }, "http_proxy http://10.0.0.1:3128/"],
    ["http://sync.test", { http_proxy: "http://[fd00::1]:8" }, "http_proxy http://[fd00::1]:8/"],
    ["http://sync.test", { http_proxy: "http://u:p@p.test" }, "http_proxy http://u:p@p.test/"],
  ];
  for (const [url, environment, expected] of chosen) {
    test(`reaches ${url} with ${JSON.stringify(environment)}: ${expected} [H10]`, () => {
      expect(originFor(url, environment)).toBe(expected);
    });
  }

  const spared: readonly (readonly [string, string, boolean])[] = [
    ["http://sync.test", "sync.test", true],
    ["http://sync.test", "SYNC.TEST", true],
    ["http://sync.test", "test", true],
    ["http://sync.test", ".test", true],
    ["http://sync.test", "*.test", true],
    ["http://sync.test.", "sync.test", true],
    ["http://sync.test", "sync.test.", true],
    ["http://async.test", "sync.test", false],
    ["http://sync.test", "a.sync.test", false],
    ["http://sync.test", "other.test, sync.test", true],
    ["http://sync.test", "other.test sync.test", true],
    ["http://sync.test", "*", true],
    ["http://sync.test", "", false],
    ["http://sync.test", ",", false],
    ["http://sync.test", ".", false],
    ["http://sync.test:8080", "sync.test:8080", true],
    ["http://sync.test:8081", "sync.test:8080", false],
    ["http://sync.test", "sync.test:80", true],
    ["http://192.168.1.7:8080", "192.168.1.7", true],
    ["http://192.168.1.7", "168.1.7", false],
    ["http://192.168.1.7", "192.168.0.0/16", true],
    ["http://192.169.1.7", "192.168.0.0/16", false],
    ["http://192.168.1.7", "192.168.0.0/99", false],
    ["http://192.168.1.7", "192.168.0.0/", false],
    ["http://[fd00::1]:8080", "fd00::1", true],
    ["http://[fd00::1]:8080", "FD00:0::1", true],
    ["http://[fd00::1]:8080", "[fd00::1]", true],
    ["http://[fd00::1]:8080", "[fd00::1]:8080", true],
    ["http://[fd00::1]:8080", "[fd00::1]:8081", false],
    ["http://[fd00::1]:8080", "fd00::/8", true],
    ["http://[fe80::1]:8080", "fd00::/8", false],
  ];
  for (const [url, none, isSpared] of spared) {
    test(`${isSpared ? "spares" : "does not spare"} ${url} with no_proxy="${none}" [H10]`, () => {
      for (const name of ["no_proxy", "NO_PROXY"]) {
        const origin = originFor(url, { http_proxy: PROXY, [name]: none });
        expect(origin === "direct").toBe(isSpared);
      }
    });
  }

  test("reaches loopback directly, whatever the environment says [H10]", () => {
    const environment = { http_proxy: PROXY, https_proxy: PROXY, all_proxy: PROXY };
    for (const host of ["localhost", "LOCALHOST", "127.0.0.1", "127.1", "127.9.8.7", "[::1]"]) {
      expect(originFor(`http://${host}:8080`, environment)).toBe("direct");
      expect(originFor(`https://${host}:8080`, environment)).toBe("direct");
    }
    expect(isLoopback(new URL("http://[::ffff:127.0.0.1]").hostname)).toBe(true);
    for (const host of ["128.0.0.1", "localhost.test", "127.0.0.1.test", "[::2]"]) {
      expect(isLoopback(host)).toBe(false);
    }
  });

  test("refuses a proxy that cannot be used, without repeating its password [H10, H17]", () => {
    for (const value of ["socks5://u:secret@p.test", "ftp://u:secret@p.test", "http://u:secret@"]) {
      expect(() => originFor("http://sync.test", { http_proxy: value })).toThrow(
        /^Cannot use the proxy that http_proxy names: (?!.*secret)/,
      );
    }
  });
});

test("takeProxySettings() leaves no variable to the runtime, and all others [H17]", () => {
  const environment = {
    http_proxy: "a",
    HTTPS_PROXY: "b",
    all_proxy: "c",
    NO_PROXY: "d",
    HOME: "e",
  };
  takeProxySettings(environment);
  expect(environment).toEqual({ HOME: "e" } as typeof environment);
});
