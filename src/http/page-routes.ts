/**
 * Routes of the page for browsers: its document at `/`, and its script, style, worker and icon.
 * Rules: H2, H30. They are open to everybody and hold no data: the page asks for the token and
 * sends it with each request, as any other client does.
 */
import { sha256 } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { PageFiles } from "../ports/page-files.ts";
import { bytesAnswer, emptyAnswer, gzip, takesGzip } from "./answer.ts";
import { parseMatch } from "./conditional.ts";
import type { Call, Route } from "./endpoint.ts";

/**
 * Scripts, styles and requests of this origin only; no text may become markup. The one policy that
 * the page makes names its worker's address.
 */
const DOCUMENT_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "media-src 'self'",
  "frame-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types synced",
].join("; ");

const PERMISSIONS_POLICY =
  "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()";

const TYPES: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

/** The worker is under the policy of its own answer, not under the document's. */
const ASSET_POLICY = "default-src 'none'; connect-src 'self'";

/** An asset's address changes with its text, so it may be kept for ever. */
const FOR_EVER = "public, max-age=31536000, immutable";

/** @param page "not built" makes `/` tell how to build it; undefined leaves it out. */
export function pageRoutes(page: PageFiles | "not built" | undefined): readonly Route[] {
  if (page === undefined) return [];
  if (page === "not built") return [documentRoute(tellNotBuilt)];
  let { html } = page;
  const routes: Route[] = [];
  for (const [name, text] of page.assets) {
    const path = addressOf(name, text);
    html = html.replaceAll(`{{${name}}}`, path);
    const send = textAnswers(name, text, {
      "cache-control": FOR_EVER,
      "content-security-policy": ASSET_POLICY,
    });
    routes.push({
      pattern: path,
      methods: { GET: { needs: "nothing", answers: "bytes", head: true, handle: send } },
    });
  }
  const headers = {
    "cache-control": "no-cache",
    "content-security-policy": DOCUMENT_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": PERMISSIONS_POLICY,
  };
  return [documentRoute(textAnswers("index.html", html, headers)), ...routes];
}

function documentRoute(handle: (call: Call) => Promise<Response>): Route {
  return {
    pattern: "/",
    isDocument: true,
    methods: { GET: { needs: "nothing", answers: "bytes", head: true, handle } },
  };
}

async function tellNotBuilt(): Promise<Response> {
  throw new SyncedError(
    "not_found",
    "Cannot show the page: it was not built; run npx -y bun@1.4.5 run page, and start again",
  );
}

/** `/page/main-0123456789abcdef.js` */
function addressOf(name: string, text: string): string {
  const dot = name.lastIndexOf(".");
  return `/page/${name.slice(0, dot)}-${sha256(text).slice(0, 16)}${name.slice(dot)}`;
}

function textAnswers(
  name: string,
  text: string,
  headers: Readonly<Record<string, string>>,
): (call: Call) => Promise<Response> {
  const digest = sha256(text);
  const type = TYPES[name.slice(name.lastIndexOf(".") + 1)] ?? "text/plain";
  const common = {
    ...headers,
    "content-type": type,
    etag: `W/"${digest}"`,
    vary: "accept-encoding",
  };
  const plain = new TextEncoder().encode(text);
  let packed: Promise<Uint8Array<ArrayBuffer>> | undefined;
  return async ({ request }) => {
    const known = parseMatch(request.headers.get("if-none-match"), "If-None-Match");
    if (known !== undefined && known !== "*" && known.any.includes(digest)) {
      return emptyAnswer(304, common);
    }
    const isHead = request.method === "HEAD";
    if (!takesGzip(request)) {
      const length = { "content-length": String(plain.length) };
      return bytesAnswer(isHead ? null : plain, { ...common, ...length });
    }
    packed ??= gzip(text);
    const bytes = await packed;
    const length = { "content-encoding": "gzip", "content-length": String(bytes.length) };
    return bytesAnswer(isHead ? null : bytes, { ...common, ...length });
  };
}
