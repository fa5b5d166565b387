/** The server's own key and certificate, and files that cannot be used. */
import { afterAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownTlsFiles, readTlsFiles } from "../../src/adapters/tls/files.ts";
import { fingerprintOf } from "../../src/adapters/tls/fingerprint.ts";
import { makeSelfSigned } from "../../src/adapters/tls/self-signed.ts";
import { parseFingerprint } from "../../src/core/fingerprint.ts";

const directory = mkdtempSync(join(tmpdir(), "synced-test-tls-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("a certificate of its own is one to strict readers, whatever its names [K9]", () => {
  const names = ["localhost", "127.0.0.1", "::1", "fe80::1:2", "1:2:3:4:5:6:7:8", "host.example"];
  for (const count of [0, 1, names.length, 40]) {
    const all = Array.from({ length: count }, (_, index) => names[index % names.length] ?? "");
    const { cert } = makeSelfSigned(all);
    const certificate = new X509Certificate(cert);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.subject).toBe("CN=synced");
    expect(certificate.checkHost("host.example")).toBe(count < 6 ? undefined : "host.example");
    expect(certificate.checkIP("fe80::1:2")).toBe(count < 4 ? undefined : "fe80::1:2");
    expect(certificate.validTo).toContain("9999");
  }
});

test("no two are alike, and a fingerprint says which [K9]", () => {
  const prints = Array.from({ length: 20 }, () =>
    fingerprintOf(new X509Certificate(makeSelfSigned(["localhost"]).cert)),
  );
  expect(new Set(prints).size).toBe(20);
  for (const print of prints) expect(parseFingerprint(print)).toBe(print);
});

test("they are made once, for their owner alone [K9]", () => {
  const files = ownTlsFiles(directory);
  const first = readTlsFiles(files);
  expect(readTlsFiles(ownTlsFiles(directory))).toEqual(first);
  expect(statSync(files.keyFile).mode & 0o777).toBe(0o600);
});

test("files that do not fit are refused, and what they hold is not shown [K10]", () => {
  const { certFile, keyFile } = ownTlsFiles(directory);
  const other = join(directory, "other.pem");
  const { key } = makeSelfSigned(["localhost"]);
  writeFileSync(other, key);
  const bad: [string, string][] = [
    [certFile, other],
    [certFile, certFile],
    [other, keyFile],
    [certFile, join(directory, "none")],
    [directory, keyFile],
  ];
  for (const [cert, keyPath] of bad) {
    let message = "";
    try {
      readTlsFiles({ certFile: cert, keyFile: keyPath });
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain("for TLS: ");
    expect(message).not.toContain(readFileSync(other, "utf8").split("\n")[1] ?? "");
  }
});

test.each(["", "sha256:", "SHA256:abc", `sha256:${"a".repeat(42)}`, `sha256:${"a".repeat(42)}+`])(
  "%j is no fingerprint [K9]",
  (text) => {
    expect(() => parseFingerprint(text)).toThrow("as a fingerprint");
  },
);
