/** Transport: the fetch signature. Redirects are errors, bodies are never inflated (rule P3). */
export type Transport = (request: Request) => Promise<Response>;
