/**
 * Makes a server's own key and certificate. Rules: K9. Clients know the server by the fingerprint
 * of its key, so nothing else in the certificate matters to them.
 *
 * The encoder is here because the libraries for X.509 bring seventeen packages, for one structure
 * of fixed shape (RFC 5280, section 4.1; DER is X.690).
 */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { isIP } from "node:net";

export interface KeyAndCertificate {
  /** PEM. */
  readonly key: string;
  /** PEM. */
  readonly cert: string;
}

/** @param names host names and addresses, for browsers */
export function makeSelfSigned(names: readonly string[]): KeyAndCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const subject = sequence(der(SET, sequence(COMMON_NAME, der(UTF8_STRING, ascii("synced")))));
  const serial = Buffer.concat([Buffer.of(0x40), randomBytes(15)]);
  const alternatives = names.map((name) =>
    isIP(name) === 0 ? der(DNS_NAME, ascii(name)) : der(IP_ADDRESS, addressBytes(name)),
  );
  const extension = sequence(SUBJECT_ALT_NAME, der(OCTET_STRING, sequence(...alternatives)));
  const toBeSigned = sequence(
    der(VERSION, der(INTEGER, Buffer.of(2))),
    der(INTEGER, serial),
    sequence(ECDSA_WITH_SHA256),
    subject,
    // Valid whatever a client's clock says: the key is what counts (RFC 5280, section 4.1.2.5).
    sequence(
      der(UTC_TIME, ascii("700101000000Z")),
      der(GENERALIZED_TIME, ascii("99991231235959Z")),
    ),
    subject,
    publicKey.export({ type: "spki", format: "der" }),
    der(EXTENSIONS, sequence(extension)),
  );
  const signature = sign("sha256", toBeSigned, privateKey);
  const bits = der(BIT_STRING, Buffer.concat([Buffer.of(0), signature]));
  const certificate = sequence(toBeSigned, sequence(ECDSA_WITH_SHA256), bits);
  const lines = certificate.toString("base64").replace(/.{64}/g, "$&\n");
  return {
    key: String(privateKey.export({ type: "pkcs8", format: "pem" })),
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
  };
}

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;
/** Context-specific tags: of a certificate, [0] and [3]; of a name, [2] and [7]. */
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;

/** 1.2.840.10045.4.3.2 */
const ECDSA_WITH_SHA256 = Uint8Array.fromHex("06082a8648ce3d040302");
/** 2.5.4.3 */
const COMMON_NAME = Uint8Array.fromHex("0603550403");
/** 2.5.29.17 */
const SUBJECT_ALT_NAME = Uint8Array.fromHex("0603551d11");

function ascii(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(SEQUENCE, Buffer.concat(parts));
}

function der(tag: number, content: Uint8Array): Buffer {
  const { length } = content;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

/** In network order. */
function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  const [head = "", tail = ""] = address.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const [before, after] = [groups(head), groups(tail)];
  const missing = Array.from({ length: 8 - before.length - after.length }, () => "0");
  const all = [...before, ...missing, ...after].map((group) => group.padStart(4, "0"));
  return Buffer.from(all.join(""), "hex");
}
